/**
 * A process of an agent: calls the service on 127.0.0.1 over and over, as its breaker permits, and tells its parent each
 * change of state. Arguments: Redis' URL, agent, the service's port, the breaker's configuration as JSON.
 */
import { connect } from "node:net";
import { createBreaker, type Permit, type Result } from "../../src/circuit/breaker.ts";
import { openSharedCircuit } from "../../src/circuit/shared-redis.ts";
import { systemClock } from "../../../../src/core/clock.ts";

const [redisUrl = "", agentId = "", port = "", config = ""] = process.argv.slice(2);
const options = { service: "service", agentId, config: JSON.parse(config), clock: systemClock, random: Math.random };
const shared = openSharedCircuit({ ...options, redisUrl });
const breaker = createBreaker({ ...options, shared });

let state = "closed";
breaker.on(({ to }) => {
  state = to;
  process.send?.(to);
});
process.on("disconnect", () => process.exit());
setInterval(callOnce, 25);
const joining = setInterval(() => {
  if (shared.view(systemClock.monotonic()) === null) return;
  clearInterval(joining);
  process.send?.("joined");
}, 10);

function callOnce(): void {
  const permit = breaker.permit();
  if (permit.kind === "denied") return;
  void service(permit.kind).then((result) => breaker.report(permit.token, result));
}

/** Says what it is, whose, and in which state of the circuit it was sent; any answer is a success. */
function service(kind: Permit["kind"]): Promise<Result> {
  const sentIn = state;
  return new Promise((resolve) => {
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(`${kind} ${process.pid} ${sentIn}`));
    socket.once("data", () => resolve({ kind: "success" }));
    socket.once("error", (error) => resolve({ kind: "failure", error: error.message }));
    socket.once("close", () => resolve({ kind: "failure", error: "closed" }));
    socket.once("data", () => socket.destroy());
  });
}

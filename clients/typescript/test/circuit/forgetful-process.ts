/**
 * A process that never closes its breaker. Runs for the milliseconds of its second argument, with Redis at the URL of its
 * first, and then has nothing more to do; prints how long its longest permit took, and at its end how long it lingered.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createBreaker } from "../../src/circuit/breaker.ts";
import { openSharedCircuit } from "../../src/circuit/shared-redis.ts";
import { systemClock } from "../../../../src/core/clock.ts";

const [redisUrl = "", milliseconds = ""] = process.argv.slice(2);
const config = { failures: 1, probeAfterMs: 30_000 };
const options = { service: "service", agentId: "agent", config, clock: systemClock, random: Math.random };
const breaker = createBreaker({ ...options, shared: openSharedCircuit({ ...options, redisUrl }) });

const permit = breaker.permit();
if (permit.kind !== "denied") breaker.report(permit.token, { kind: "failure", error: "down" });
const times: number[] = [];
for (const end = performance.now() + Number(milliseconds); performance.now() < end; await sleep(1)) {
  for (let calls = 0; calls < 20; calls += 1) {
    const start = performance.now();
    breaker.permit();
    times.push(performance.now() - start);
  }
}
times.sort((a, b) => a - b);
const done = performance.now();
process.on("exit", () => {
  const p99 = times[Math.floor(times.length * 0.99)];
  process.stdout.write(JSON.stringify({ p99, lingered: performance.now() - done, state: breaker.snapshot.state }));
});

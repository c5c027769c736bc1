/**
 * A process that never closes its breaker. Runs for the milliseconds of its second argument, with Redis at the URL of its
 * first, and then has nothing more to do; prints the breaker's state when it ends.
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
for (const end = performance.now() + Number(milliseconds); performance.now() < end; await sleep(1)) breaker.permit();
process.on("exit", () => void process.stdout.write(breaker.snapshot.state));

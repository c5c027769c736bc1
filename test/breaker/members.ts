import { setTimeout as sleep } from "node:timers/promises";
import {
  type Breaker,
  type BreakerConfig,
  createBreaker,
  type Permit,
  type SharedCircuit,
} from "../../src/breaker/breaker.ts";
import { openSharedCircuit } from "../../src/breaker/shared-redis.ts";
import { systemClock } from "../../src/clock.ts";
import { waitUntil } from "../support/net.ts";

/** Quick enough for a test: a lease of 1 s, a poll each 50 ms. */
export const CONFIG: BreakerConfig = { failures: 5, probeAfterMs: 500, rampMs: 200 };

/** One process of an agent, with a connection to Redis of its own. */
export interface FleetMember {
  readonly breaker: Breaker;
  readonly shared: SharedCircuit;
}

let agents = 0;

/** A new agent, so that tests do not meet in Redis. */
export function newAgent(): string {
  agents += 1;
  return `agent-${process.pid}-${agents}`;
}

export function join(redisUrl: string, agentId: string, config: BreakerConfig = CONFIG): FleetMember {
  const options = { service: "http://service", agentId, config, clock: systemClock, random: Math.random };
  const shared = openSharedCircuit({ ...options, redisUrl });
  return { breaker: createBreaker({ ...options, shared }), shared };
}

export async function joined(
  redisUrl: string,
  agentId: string,
  count: number,
  config: BreakerConfig = CONFIG,
): Promise<FleetMember[]> {
  const members = Array.from({ length: count }, () => join(redisUrl, agentId, config));
  await waitUntil(
    () => members.every(({ shared }) => shared.view(systemClock.monotonic()) !== null),
    10_000,
    "not all joined",
  );
  return members;
}

export async function leave(members: readonly FleetMember[]): Promise<void> {
  await Promise.all(members.map(({ breaker }) => breaker.close()));
}

/** Five failed calls. */
export function fail({ breaker }: FleetMember): void {
  for (let calls = 0; calls < 5; calls += 1) call(breaker, () => false);
}

/** One call; the service answers at once. */
export function call(breaker: Breaker, healthy: () => boolean): Permit {
  const permit = breaker.permit();
  if (permit.kind !== "denied")
    breaker.report(permit.token, healthy() ? { kind: "success" } : { kind: "failure", error: "down" });
  return permit;
}

export async function untilState({ breaker }: FleetMember, state: string, milliseconds = 10_000): Promise<void> {
  await waitUntil(() => breaker.snapshot.state === state, milliseconds, `never ${state}`);
}

/** Every member calls each 5 ms until `done`; every permit that was not a deny is kept. */
export async function traffic(
  members: readonly FleetMember[],
  healthy: (member: FleetMember) => boolean,
  done: () => boolean,
  milliseconds = 20_000,
): Promise<{ readonly member: FleetMember; readonly kind: "call" | "probe" }[]> {
  const admitted: { member: FleetMember; kind: "call" | "probe" }[] = [];
  const end = performance.now() + milliseconds;
  while (!done()) {
    if (performance.now() > end)
      throw new Error(`not done: ${JSON.stringify(members.map(({ breaker }) => breaker.snapshot))}`);
    for (const member of members) {
      const { kind } = call(member.breaker, () => healthy(member));
      if (kind !== "denied") admitted.push({ member, kind });
    }
    await sleep(5);
  }
  return admitted;
}

export function all(members: readonly FleetMember[], state: string): () => boolean {
  return () => members.every(({ breaker }) => breaker.snapshot.state === state);
}

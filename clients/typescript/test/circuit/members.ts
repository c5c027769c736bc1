import { setTimeout as sleep } from "node:timers/promises";
import {
  type Breaker,
  type BreakerConfig,
  createBreaker,
  type Permit,
  type SharedCircuit,
} from "../../src/circuit/breaker.ts";
import { openSharedCircuit } from "../../src/circuit/shared-redis.ts";
import { systemClock } from "../../../../src/core/clock.ts";
import { waitUntil } from "../../../../test/support/net.ts";
import { type RedisServer, startRedis } from "../../../../test/support/redis.ts";

/** Quick enough for a test: a lease of 1 s, a poll each 50 ms. */
export const CONFIG: BreakerConfig = { failures: 5, probeAfterMs: 500, rampMs: 200 };

/** For tests of what is denied meanwhile: on a busy machine a probe is due soon after the circuit opened. */
export const PATIENT: BreakerConfig = { ...CONFIG, probeAfterMs: 5_000 };

/** One process of an agent, as far as Redis can tell: it has a connection of its own. */
export interface Member {
  readonly breaker: Breaker;
  readonly shared: SharedCircuit;
}

/** A Redis to be stopped, stalled and filled with nonsense. */
export async function redisOn(port: number): Promise<RedisServer> {
  const server = await startRedis(port);
  if (server === null) throw new Error("no redis-server on this machine");
  return server;
}

let agents = 0;
const present: Member[] = [];

/** A new agent, so that tests do not meet in Redis. */
export function newAgent(): string {
  agents += 1;
  return `agent-${process.pid}-${agents}`;
}

export function join(redisUrl: string, agentId: string, config = CONFIG): Member {
  const options = { service: "http://service", agentId, config, clock: systemClock, random: Math.random };
  const shared = openSharedCircuit({ ...options, redisUrl });
  const member = { breaker: createBreaker({ ...options, shared }), shared };
  present.push(member);
  return member;
}

export async function one(redisUrl: string, agentId = newAgent(), config = CONFIG): Promise<Member> {
  const [member] = await heard([join(redisUrl, agentId, config)] as [Member]);
  return member;
}

export async function pair(redisUrl: string, agentId = newAgent(), config = CONFIG): Promise<[Member, Member]> {
  return await heard([join(redisUrl, agentId, config), join(redisUrl, agentId, config)]);
}

export async function trio(redisUrl: string, agentId = newAgent(), config = CONFIG): Promise<[Member, Member, Member]> {
  return await heard([
    join(redisUrl, agentId, config),
    join(redisUrl, agentId, config),
    join(redisUrl, agentId, config),
  ]);
}

/** Waits until each has had an answer from Redis. */
export async function heard<T extends readonly Member[]>(members: T): Promise<T> {
  const all = (): boolean => members.every(({ shared }) => shared.view(systemClock.monotonic()) !== null);
  await waitUntil(all, 20_000, "not all heard");
  return members;
}

/** All members of all fleets. */
export async function leave(): Promise<void> {
  await Promise.all(present.splice(0).map(({ breaker }) => breaker.close()));
}

/** The first two fail, and the circuit is open for all. */
export async function opened<T extends readonly Member[]>(members: T): Promise<T> {
  for (const member of members.slice(0, 2)) fail(member);
  for (const member of members) await until(member, "open");
  return members;
}

/** Five failed calls. */
export function fail({ breaker }: Member): void {
  for (let calls = 0; calls < 5; calls += 1) call(breaker, () => false);
}

/** One call; the service answers at once. */
export function call(breaker: Breaker, healthy: () => boolean): Permit {
  const permit = breaker.permit();
  if (permit.kind === "denied") return permit;
  breaker.report(permit.token, healthy() ? { kind: "success" } : { kind: "failure", error: "down" });
  return permit;
}

export async function until({ breaker }: Member, state: string, milliseconds = 10_000): Promise<void> {
  await waitUntil(() => breaker.snapshot.state === state, milliseconds, `never ${state}`);
}

export function all(members: readonly Member[], state: string): () => boolean {
  return () => members.every(({ breaker }) => breaker.snapshot.state === state);
}

export interface Admitted {
  readonly member: Member;
  readonly kind: "call" | "probe";
}

/** Every member calls each 5 ms until `done`. @returns the calls that were let through */
export async function traffic(
  members: readonly Member[],
  healthy: (member: Member) => boolean,
  done: () => boolean,
  milliseconds = 20_000,
): Promise<Admitted[]> {
  const admitted: Admitted[] = [];
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

/**
 * How soon a fleet hears that its service has died: three processes for each agent, two of which count failures of their own.
 * Taken is the time from the later of these two's last counted failure, with which both have opened their circuits, to the
 * moment when the third, which has called nobody, denies.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import type { FromMember, ToMember } from "./member.ts";

export interface FleetSpec {
  readonly agents: number;
  readonly deadUrl: string;
  readonly redisUrl: string;
}

/** Agents whose fleets fail at the same time. */
const AT_ONCE = 5;
/** Until all members have told each other that they are there. */
const MEETING_MS = 8_000;
const PATIENCE_MS = 60_000;

/** Milliseconds from the last counted failure to the third process's open circuit, for each agent. */
export async function timeFleets({ agents, deadUrl, redisUrl }: FleetSpec): Promise<number[]> {
  await using stack = new AsyncDisposableStack();
  const processes = [0, 1, 2].map(() => stack.adopt(forkMember(), ended));
  const ids = Array.from({ length: agents }, (_, n) => `bench-${n}`);
  const opened = new Map(ids.map((id) => [id, new Openings()]));
  for (const [index, child] of processes.entries()) {
    child.on("message", ({ agentId, openedAtNs }: FromMember) => opened.get(agentId)?.set(index, BigInt(openedAtNs)));
    for (const id of ids) send(child, { join: id, deadUrl, redisUrl });
  }
  await sleep(MEETING_MS);
  const taken: number[] = [];
  for (let first = 0; first < agents; first += AT_ONCE) {
    const now = ids.slice(first, first + AT_ONCE);
    for (const id of now) for (const child of processes.slice(0, 2)) send(child, { fail: id });
    taken.push(...(await Promise.all(now.map((id) => opened.get(id)!.taken()))));
  }
  return taken;
}

/** When each of an agent's three processes has opened its circuit. */
class Openings {
  readonly #at = new Map<number, bigint>();
  readonly #all = Promise.withResolvers<void>();

  set(index: number, atNs: bigint): void {
    if (this.#at.has(index)) return;
    this.#at.set(index, atNs);
    if (this.#at.size === 3) this.#all.resolve();
  }

  async taken(): Promise<number> {
    const timer = AbortSignal.timeout(PATIENCE_MS);
    const tooLate = once(timer, "abort").then(() => Promise.reject(new Error("a fleet's circuit did not open")));
    await Promise.race([this.#all.promise, tooLate]);
    const [one, two, third] = [0, 1, 2].map((index) => this.#at.get(index)!) as [bigint, bigint, bigint];
    return Number(third - (one > two ? one : two)) / 1e6;
  }
}

function forkMember(): ChildProcess {
  return fork(fileURLToPath(new URL("member.ts", import.meta.url)), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
}

function send(child: ChildProcess, message: ToMember): void {
  child.send(message);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DataCrawlOptions } from "@datacrawl/client";
import { OpenGuard } from "@datacrawl/client/internal/call/open";
import { readOptions } from "@datacrawl/client/internal/options";
import { systemClock } from "../../core/clock.ts";
import { UsageError } from "../../core/fault.ts";
import { RandomPool } from "../../core/ids.ts";
import { readAuthorities } from "../../core/pem.ts";
import type { Io } from "../io.ts";

/** Of the whole time of a command that asks, what is kept for printing the verdict, closing the guard and ending the process. */
export const ENDING_MS = 400;
/** How much of that the closing may take, which waits for a service that may never answer. */
const CLOSING_MS = 250;

const PROOFS = ["DATACRAWL_API_KEY", "DATACRAWL_TOKEN_FILE", "DATACRAWL_CLIENT_CERT_FILE", "DATACRAWL_CLIENT_KEY_FILE"];

/** Whether the environment holds what proves who asks. */
export function hasProof({ env }: Io): boolean {
  return PROOFS.some((variable) => env[variable]);
}

/**
 * The guard of this process. What `options` do not say is taken from the variables that the client library reads.
 *
 * @param syncs false for a process that asks once: it is over with the answer, so that operators have no use for its circuit, nor it for
 * their orders
 * @throws UsageError
 */
export function openOwnGuard(io: Io, options: DataCrawlOptions = {}, syncs = false): OpenGuard {
  const path = io.env["DATACRAWL_CA_FILE"];
  const ca = path ? readAuthorities("DATACRAWL_CA_FILE", resolve(io.cwd, path)) : undefined;
  try {
    const { timeoutMs: _, ...settings } = readOptions({ ca, ...options }, io.env);
    return new OpenGuard({ ...settings, syncs, clock: systemClock, random: new RandomPool() });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message.split("; "));
    throw error;
  }
}

/** A credential from a file. @throws UsageError */
export function readKey(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    throw new UsageError([otherwise]);
  }
}

/** Closes the guard, or leaves it open when the time for that is up. */
export async function closeInTime(guard: OpenGuard): Promise<void> {
  const timeUp = new AbortController();
  const late = sleep(CLOSING_MS, undefined, { signal: timeUp.signal }).catch(() => undefined);
  await Promise.race([guard.close(), late]);
  timeUp.abort();
}

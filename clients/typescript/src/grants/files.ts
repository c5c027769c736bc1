import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { KeyLink } from "@datacrawl/core/key-chain";
import type { Micros } from "@datacrawl/core/clock";
import { replaceFile } from "@datacrawl/core/durable";
import { arrayOf, type Checked, isBase64url, isBoolean, isCount, object } from "@datacrawl/core/shape";

/** What a guard keeps of grants between its processes. Of what was read, nothing has been verified. */
export interface GrantFiles {
  readonly keys: readonly KeyLink[];
  readonly isContested: boolean;
  readonly epoch: number;
  /** The highest service time seen, and the time that passed since. */
  readonly clockFloor: Micros;
  /** The newest order, as it was signed. */
  readonly token: string | null;
}

const isState = object({
  keys: arrayOf(object({ public_key: isBase64url, signature_by_previous: isBase64url })),
  contested: isBoolean,
  epoch: isCount,
  clock_floor_us: isCount,
});

const MALFORMED = "cannot read the grant files: grants.json is malformed";

/** @returns null if there is nothing yet, or a problem if it cannot be read */
export async function readGrantFiles(dir: string): Promise<GrantFiles | { readonly problem: string } | null> {
  try {
    const text = await readIfAny(join(dir, "grants.json"));
    if (text === null) return null;
    const state: unknown = JSON.parse(text);
    if (!isState(state)) return { problem: MALFORMED };
    const { keys, contested, epoch, clock_floor_us: clockFloor } = state;
    const links = keys.map((key) => ({
      publicKey: Buffer.from(key.public_key, "base64url"),
      signatureByPrevious: Buffer.from(key.signature_by_previous, "base64url"),
    }));
    return { keys: links, isContested: contested, epoch, clockFloor, token: await readIfAny(join(dir, "grant.jws")) };
  } catch (error) {
    const isIo = error instanceof Error && "code" in error;
    return { problem: isIo ? `cannot read the grant files: ${String(error)}` : MALFORMED };
  }
}

/**
 * Two files, so that an older copy of either one, put back, revives nothing: the order is void below the epoch of
 * `grants.json`, and an older `grants.json` is raised by the order.
 */
export async function writeGrantFiles(dir: string, files: GrantFiles): Promise<void> {
  const state: Checked<typeof isState> = {
    keys: files.keys.map(({ publicKey, signatureByPrevious }) => ({
      public_key: Buffer.from(publicKey).toString("base64url"),
      signature_by_previous: Buffer.from(signatureByPrevious).toString("base64url"),
    })),
    contested: files.isContested,
    epoch: files.epoch,
    clock_floor_us: files.clockFloor,
  };
  await replaceFile(dir, "grants.json", `${JSON.stringify(state)}\n`);
  // A crash here leaves an order below the epoch: no bypass, until the next sync.
  await replaceFile(dir, "grant.jws", files.token ?? "");
}

async function readIfAny(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

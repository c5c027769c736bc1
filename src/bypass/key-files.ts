import { link, mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { UsageError } from "../fault.ts";
import { firstLink, followChain, grantKeyFromJwk, makeGrantKey, nextLink } from "./keys.ts";
import type { GrantKeyLink, GrantPrivateKey } from "./keys.ts";

/**
 * The service's grant keys in a directory: `grant-key-1.json`, `grant-key-2.json` and so on, each with a private key and the
 * signature by the one before it. The highest number signs; all of them are the chain that guards follow.
 */
export interface GrantKeys {
  readonly signing: GrantPrivateKey;
  /** Oldest first; the last is the signing key's. */
  readonly chain: readonly GrantKeyLink[];
}

const FILE_NAME = /^grant-key-([1-9][0-9]{0,3})\.json$/;

/** @throws UsageError if there is no key, or one that is unsafe or broken */
export async function openGrantKeys(dir: string): Promise<GrantKeys> {
  const links: GrantKeyLink[] = [];
  let signing: GrantPrivateKey | null = null;
  for (let number = 1; number <= (await newestNumber(dir)); number++) {
    const { key, signatureByPrevious } = await readKeyFile(join(dir, fileName(number)));
    links.push({ publicKey: key.publicKey, signatureByPrevious });
    signing = key;
  }
  if (signing === null) throw new UsageError([`${dir} has no grant key`]);
  const followed = followChain(null, links);
  if ("problem" in followed) throw new UsageError([`${dir}: ${followed.problem}`]);
  return { signing, chain: links };
}

/** The keys of `dir`, made if there are none. Safe to race: all racers get the same key. */
export async function openOrMakeGrantKeys(dir: string): Promise<GrantKeys> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if ((await newestNumber(dir)) === 0) {
    const key = makeGrantKey();
    await writeKeyFile(dir, 1, key, firstLink(key));
  }
  return openGrantKeys(dir);
}

/**
 * Adds a key, signed by the newest, and returns the new set. Guards follow on their next healthy contact; a grant signed by the
 * old key is then void, so live orders are to be signed again.
 *
 * @throws UsageError if there is no key, or another rotation won
 */
export async function rotateGrantKeys(dir: string): Promise<GrantKeys> {
  const { signing, chain } = await openGrantKeys(dir);
  const next = makeGrantKey();
  const written = await writeKeyFile(dir, chain.length + 1, next, nextLink(signing, next));
  if (!written) throw new UsageError([`${dir}: another rotation of the grant key was faster`]);
  return openGrantKeys(dir);
}

async function newestNumber(dir: string): Promise<number> {
  const numbers = (await readdir(dir)).map((name) => Number(FILE_NAME.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

function fileName(number: number): string {
  return `grant-key-${number}.json`;
}

const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);
const keyFileShape = z.strictObject({
  private_key: z.strictObject({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: base64url, d: base64url }),
  signature_by_previous: base64url,
});

async function readKeyFile(path: string): Promise<{ key: GrantPrivateKey; signatureByPrevious: Uint8Array }> {
  try {
    // Whoever reads the key can sign grants; a group that may read it is an operator's choice (a mounted secret).
    if (((await stat(path)).mode & 0o027) !== 0)
      throw new Error("must not be readable by others or writable by a group");
    const file = keyFileShape.parse(JSON.parse(await readFile(path, "utf8")));
    return {
      key: grantKeyFromJwk(file.private_key),
      signatureByPrevious: Buffer.from(file.signature_by_previous, "base64url"),
    };
  } catch (error) {
    // Never the file's content: a parser's message may quote it.
    const why = error instanceof SyntaxError || error instanceof z.ZodError ? "is not a grant key file" : String(error);
    throw new UsageError([`${path}: ${why}`]);
  }
}

/** False if there is a key of that number already. The file appears whole and durable, or not at all. */
async function writeKeyFile(
  dir: string,
  number: number,
  key: GrantPrivateKey,
  keyLink: GrantKeyLink,
): Promise<boolean> {
  const content = {
    private_key: key.privateKey.export({ format: "jwk" }),
    signature_by_previous: Buffer.from(keyLink.signatureByPrevious).toString("base64url"),
  };
  const unfinished = join(dir, `${fileName(number)}.${randomUUID()}`);
  try {
    await writeDurably(unfinished, `${JSON.stringify(content)}\n`);
    // link, not rename: it fails if the name is taken, so of two racers one wins and the other sees it.
    return await link(unfinished, join(dir, fileName(number))).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "EEXIST") return false;
        throw error;
      },
    );
  } finally {
    await rm(unfinished, { force: true });
    await syncDirectory(dir);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

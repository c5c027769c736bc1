import { link, mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { syncDirectory, writeDurably } from "../core/durable.ts";
import { UsageError } from "../core/fault.ts";
import { firstLink, followChain, makeSigningKey, nextLink, signingKeyFromJwk } from "../core/key-chain.ts";
import type { KeyLink, KeyUse, SigningKey } from "../core/key-chain.ts";

/** A chain of signing keys as files. */
export interface KeyFilesUse extends KeyUse {
  /** The files are `<filePrefix>-1.json`, `<filePrefix>-2.json` and so on. */
  readonly filePrefix: string;
}

/**
 * The service's keys for one use in a directory, a file each, with a private key and the signature by the one before it. The
 * highest number signs; all of them are the chain that others follow.
 */
export interface SigningKeys {
  readonly signing: SigningKey;
  /** Oldest first; the last is the signing key's. */
  readonly chain: readonly KeyLink[];
}

/** @throws UsageError if there is no key, or one that is unsafe or broken */
export async function openSigningKeys(dir: string, use: KeyFilesUse): Promise<SigningKeys> {
  const links: KeyLink[] = [];
  let signing: SigningKey | null = null;
  for (let number = 1; number <= (await newestNumber(dir, use)); number++) {
    const { key, signatureByPrevious } = await readKeyFile(join(dir, fileName(use, number)), use);
    links.push({ publicKey: key.publicKey, signatureByPrevious });
    signing = key;
  }
  if (signing === null)
    throw new UsageError([
      `${dir} has no ${use.label}: run \`datacrawl keys init\` once, and give all replicas the same files (DATACRAWL_KEYS_DIR)`,
    ]);
  const followed = followChain(use, null, links);
  if ("problem" in followed) throw new UsageError([`${dir}: ${followed.problem}`]);
  return { signing, chain: links };
}

/** The keys of `dir`, made if there are none. Safe to race: all racers get the same key. */
export async function openOrMakeSigningKeys(dir: string, use: KeyFilesUse): Promise<SigningKeys> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if ((await newestNumber(dir, use)) === 0) {
    const key = makeSigningKey();
    await writeKeyFile(dir, use, 1, key, firstLink(key));
  }
  return openSigningKeys(dir, use);
}

/**
 * Adds a key, signed by the newest, and returns the new set.
 *
 * @throws UsageError if there is no key, or another rotation won
 */
export async function rotateSigningKeys(dir: string, use: KeyFilesUse): Promise<SigningKeys> {
  const { signing, chain } = await openSigningKeys(dir, use);
  const next = makeSigningKey();
  const written = await writeKeyFile(dir, use, chain.length + 1, next, nextLink(use, signing, next));
  if (!written) throw new UsageError([`${dir}: another rotation of the ${use.label} was faster`]);
  return openSigningKeys(dir, use);
}

async function newestNumber(dir: string, { filePrefix }: KeyFilesUse): Promise<number> {
  const pattern = new RegExp(`^${filePrefix}-([1-9][0-9]{0,3})\\.json$`);
  const numbers = (await readdir(dir)).map((name) => Number(pattern.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

function fileName({ filePrefix }: KeyFilesUse, number: number): string {
  return `${filePrefix}-${number}.json`;
}

const base64url = z.string().regex(/^[A-Za-z0-9_-]*$/);
const keyFileShape = z.strictObject({
  private_key: z.strictObject({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: base64url, d: base64url }),
  signature_by_previous: base64url,
});

async function readKeyFile(
  path: string,
  use: KeyFilesUse,
): Promise<{ key: SigningKey; signatureByPrevious: Uint8Array }> {
  try {
    // A process that reads the key can sign with it; a group that may read it is an operator's choice (a mounted secret).
    if (((await stat(path)).mode & 0o027) !== 0)
      throw new Error("must not be readable by others or writable by a group");
    const file = keyFileShape.parse(JSON.parse(await readFile(path, "utf8")));
    return {
      key: signingKeyFromJwk(file.private_key),
      signatureByPrevious: Buffer.from(file.signature_by_previous, "base64url"),
    };
  } catch (error) {
    // Never the file's content: a parser's message may quote it.
    const why =
      error instanceof SyntaxError || error instanceof z.ZodError ? `is not a ${use.label} file` : String(error);
    throw new UsageError([`${path}: ${why} (DATACRAWL_KEYS_DIR)`]);
  }
}

/** False if there is a key of that number already. The file appears whole and durable, or not at all. */
async function writeKeyFile(
  dir: string,
  use: KeyFilesUse,
  number: number,
  key: SigningKey,
  keyLink: KeyLink,
): Promise<boolean> {
  const content = {
    private_key: key.privateKey.export({ format: "jwk" }),
    signature_by_previous: Buffer.from(keyLink.signatureByPrevious).toString("base64url"),
  };
  const unfinished = join(dir, `${fileName(use, number)}.${randomUUID()}`);
  try {
    await writeDurably(unfinished, `${JSON.stringify(content)}\n`, 0o600);
    // link, not rename: it fails if the name is taken, so of two racers one wins and the other sees it.
    return await link(unfinished, join(dir, fileName(use, number))).then(
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

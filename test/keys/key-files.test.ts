import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UsageError } from "../../src/core/fault.ts";
import { fingerprint, firstLink, makeSigningKey, signingKeyFromJwk } from "../../src/core/key-chain.ts";
import * as chains from "../../src/core/key-chain.ts";
import type { KeyLink, SigningKey } from "../../src/core/key-chain.ts";
import {
  type KeyFilesUse,
  openOrMakeSigningKeys,
  openSigningKeys,
  rotateSigningKeys,
} from "../../src/keys/key-files.ts";

const USE: KeyFilesUse = { label: "grant key", linkDomain: "datacrawl.grantkey.v1", filePrefix: "grant-key" };
const OTHER: KeyFilesUse = { label: "audit key", linkDomain: "datacrawl.auditkey.v1", filePrefix: "audit-key" };
const nextLink = (previous: SigningKey, next: SigningKey, use = USE): KeyLink => chains.nextLink(use, previous, next);
const followChain = (pinned: Uint8Array | null, chain: readonly KeyLink[]) => chains.followChain(USE, pinned, chain);

describe("a chain of keys", () => {
  const [first, second, third, stranger] = [makeSigningKey(), makeSigningKey(), makeSigningKey(), makeSigningKey()];
  const links = { first: firstLink(first), second: nextLink(first, second), third: nextLink(second, third) };
  const chain = [links.first, links.second, links.third];

  test("leads from nothing, and from each of its keys, to its newest", () => {
    for (const pinned of [null, first.publicKey, second.publicKey, third.publicKey]) {
      expect(followChain(pinned, chain)).toEqual({ newest: third.publicKey });
    }
  });

  test.each<[string, KeyLink[]]>([
    ["empty", []],
    ["with a link that nobody signed", [firstLink(first), firstLink(second)]],
    ["with a link signed by a stranger", [firstLink(first), nextLink(stranger, second)]],
    ["with a link signed by a key further back", [links.first, links.second, nextLink(first, third)]],
    ["with a link that was signed for another use", [firstLink(first), nextLink(first, second, OTHER)]],
    ["with a link signed by itself", [firstLink(first), nextLink(second, second)]],
    [
      "with a signature cut short",
      [firstLink(first), { ...nextLink(first, second), signatureByPrevious: new Uint8Array(63) }],
    ],
    ["in another order", [links.second, links.first, links.third]],
    ["with a key that is none", [{ publicKey: new Uint8Array(31), signatureByPrevious: new Uint8Array() }]],
    ["too long", Array.from({ length: 17 }, () => nextLink(first, first))],
  ])("%s leads nowhere, also when nothing is pinned", (_, broken) => {
    for (const pinned of [null, first.publicKey]) {
      expect(followChain(pinned, broken)).toHaveProperty("problem");
    }
  });

  test("does not lead away from a pinned key that it lacks", () => {
    expect(followChain(stranger.publicKey, chain)).toHaveProperty("problem");
    // Rolled back to before the rotation, and continued from there by whoever holds the old key.
    expect(followChain(second.publicKey, [firstLink(first)])).toHaveProperty("problem");
    expect(followChain(second.publicKey, [firstLink(first), nextLink(first, stranger)])).toHaveProperty("problem");
  });

  test("is made of Ed25519 keys alone", () => {
    const { privateKey } = generateKeyPairSync("x25519");
    expect(() => signingKeyFromJwk(privateKey.export({ format: "jwk" }))).toThrow("not an Ed25519 key");
  });

  test("names its keys by fingerprint", () => {
    expect(fingerprint(new Uint8Array(32))).toBe(
      "sha256:66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925",
    );
  });
});

describe("keys in a directory", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "datacrawl-keys-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  test("are made once, for their owner alone, and found again", async () => {
    const made = await openOrMakeSigningKeys(join(dir, "keys"), USE);
    const again = await openOrMakeSigningKeys(join(dir, "keys"), USE);
    expect(again.signing.publicKey).toEqual(made.signing.publicKey);
    expect(again.chain).toEqual(made.chain);
    expect(await readdir(join(dir, "keys"))).toEqual(["grant-key-1.json"]);
    expect((await stat(join(dir, "keys", "grant-key-1.json"))).mode & 0o777).toBe(0o600);
  });

  test("for two uses are two chains", async () => {
    const [one, other] = [await openOrMakeSigningKeys(dir, USE), await openOrMakeSigningKeys(dir, OTHER)];
    expect(other.signing.publicKey).not.toEqual(one.signing.publicKey);
    await rotateSigningKeys(dir, OTHER);
    expect((await openSigningKeys(dir, USE)).chain).toEqual(one.chain);
    expect((await readdir(dir)).toSorted()).toEqual(["audit-key-1.json", "audit-key-2.json", "grant-key-1.json"]);
  });

  test("are the same for all who race to make them", async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => openOrMakeSigningKeys(dir, USE)));
    expect(new Set(keys.map(({ signing }) => fingerprint(signing.publicKey))).size).toBe(1);
    expect(await readdir(dir)).toEqual(["grant-key-1.json"]);
  });

  test("are rotated into a chain that guards can follow; of two rotations at once one says that it lost", async () => {
    const first = await openOrMakeSigningKeys(dir, USE);
    const second = await rotateSigningKeys(dir, USE);
    expect(followChain(first.signing.publicKey, second.chain)).toEqual({ newest: second.signing.publicKey });
    expect(second.signing.publicKey).not.toEqual(first.signing.publicKey);
    const raced = await Promise.allSettled([rotateSigningKeys(dir, USE), rotateSigningKeys(dir, USE)]);
    const lost = raced.filter(({ status }) => status === "rejected").length;
    expect((await openSigningKeys(dir, USE)).chain).toHaveLength(2 + 2 - lost);
    expect(followChain(first.signing.publicKey, (await openSigningKeys(dir, USE)).chain)).toHaveProperty("newest");
  });

  test("must be there, sound, complete and kept from others", async () => {
    await expect(openSigningKeys(dir, USE)).rejects.toThrow(UsageError);
    await openOrMakeSigningKeys(dir, USE);
    await rotateSigningKeys(dir, USE);
    const path = join(dir, "grant-key-1.json");
    const content = await readFile(path, "utf8");

    await chmod(path, 0o604);
    await expect(openSigningKeys(dir, USE)).rejects.toThrow(/readable by others/);
    await chmod(path, 0o640);
    await expect(openSigningKeys(dir, USE)).resolves.toHaveProperty("signing");

    for (const broken of ["", "{}", content.slice(0, -20), content.replace("Ed25519", "X25519")]) {
      await writeFile(path, broken);
      const secret = /"d":"([^"]+)"/.exec(content)?.[1] ?? content;
      const error: unknown = await openSigningKeys(dir, USE).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      expect(String(error)).not.toContain(secret.slice(0, 8));
    }

    await writeFile(
      path,
      JSON.stringify({ ...JSON.parse(content), private_key: makeSigningKey().privateKey.export({ format: "jwk" }) }),
    );
    await expect(openSigningKeys(dir, USE)).rejects.toThrow(/not signed by the key before it/);
    await rm(path);
    await expect(openSigningKeys(dir, USE)).rejects.toThrow(UsageError);
  });
});

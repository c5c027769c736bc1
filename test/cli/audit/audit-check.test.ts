import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { formatVkey } from "../../../src/audit/log/note.ts";
import { COMMAND_GROUPS } from "../../../src/cli/commands.ts";
import { run } from "../../../src/cli/program.ts";
import { NO_TERMINAL } from "../../support/io.ts";
import {
  sampleConsistency,
  sampleExport,
  sampleProof,
  sampleSigner,
  sampleTrail,
} from "../../audit/proof/proof-samples.ts";

const dir = mkdtempSync(join(tmpdir(), "datacrawl-check-"));
afterAll(() => rmSync(dir, { recursive: true }));

const signer = sampleSigner("the log's key");
const vkey = formatVkey(signer.key);
const trail = sampleTrail(9);
const exported = await sampleExport(trail, signer, (seq) => seq > 2);
let files = 0;

const fileOf = (content: string | Buffer): string => {
  const path = join(dir, String(files++));
  writeFileSync(path, content);
  return path;
};

/** Without any environment: these commands need none. */
async function audit(...args: string[]): Promise<{ out: string; err: string; status: number }> {
  const result = { out: "", err: "", status: 0 };
  await run(
    ["audit", ...args],
    {
      ...NO_TERMINAL,
      env: {},
      cwd: dir,
      out: (text) => (result.out += text),
      err: (text) => (result.err += text),
      exit: (code) => (result.status = code),
    },
    COMMAND_GROUPS,
  );
  return result;
}

describe("datacrawl audit check-proof", () => {
  test("tells what a proof shows", async () => {
    const decision = await audit("check-proof", fileOf(await sampleProof(trail, signer, 4)), "--key", vkey);
    expect(decision).toMatchObject({ status: 0, err: "" });
    expect(decision.out).toMatch(
      /^Proven: decision .*00004 \(allow, RULE_ALLOWED, agent demo, 2026-.*\) is leaf 4 of the 9/,
    );
    const consistency = await audit("check-proof", fileOf(await sampleConsistency(trail, signer, 4)), "--key", vkey);
    expect(consistency.out).toContain("the first 4 leaves");
    const json = await audit(
      "check-proof",
      fileOf(await sampleProof(trail, signer, 4)),
      "--public-key",
      vkey,
      "--json",
    );
    expect(JSON.parse(json.out)).toEqual({
      ok: true,
      kind: "decision",
      decisionId: expect.stringMatching(/00004$/) as string,
      log: expect.any(String) as string,
      epoch: 1,
      leafIndex: 4,
      size: 9,
      payload: expect.any(Boolean) as boolean,
    });
  });

  test("names the step that fails, and exits with 1", async () => {
    const changed = (await sampleProof(trail, signer, 4)).replace("refund-4", "refund-5");
    expect(await audit("check-proof", fileOf(changed), "--key", vkey)).toMatchObject({
      status: 1,
      out: expect.stringMatching(/^FAILED at row: the columns of decision 0193a1b2/) as string,
    });
    const json = await audit("check-proof", fileOf(changed), "--key", vkey, "--json");
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, failed: "row" });
  });

  test("takes keys from a file, and needs one", async () => {
    const proof = fileOf(await sampleProof(trail, signer, 4));
    const other = formatVkey(sampleSigner("another key").key);
    const keys = fileOf(`# keys\n\n${other}\r\n${vkey}\n`);
    expect((await audit("check-proof", proof, "--key", keys)).status).toBe(0);
    expect((await audit("check-proof", proof, "--key", other, vkey)).status).toBe(0);
    expect((await audit("check-proof", proof, "--key", other)).out).toContain("FAILED at signature");
    expect((await audit("check-proof", proof)).status).toBe(64);
    expect((await audit("check-proof", proof, "--key", fileOf("# none\n"))).err).toContain("names no public key");
    expect((await audit("check-proof", proof, "--key", "sesame")).err).toContain("a verifier key looks like");
    expect((await audit("check-proof", join(dir, "none"), "--key", vkey)).err).toContain("does not exist");
  });

  test.each([
    ["is no text", Buffer.of(0xff, 0xfe)],
    ["is larger than any proof", Buffer.alloc((4 << 20) + 1, " ")],
    ["is empty", ""],
  ])("refuses a file that %s", async (_, content) => {
    expect((await audit("check-proof", fileOf(content), "--key", vkey)).out).toContain("FAILED at format");
  });
});

describe("datacrawl audit check-export", () => {
  test.each([
    ["plain", Buffer.from(exported)],
    ["gzip", gzipSync(exported)],
    ["zstd", zstdCompressSync(exported)],
  ])("tells what an export shows: %s", async (_, content) => {
    const { out, status } = await audit("check-export", fileOf(content), "--key", vkey);
    expect(out).toBe(
      `Proven: 4 decisions, 2 events and 2 payloads are what ${signer.key.name} had signed.\n` +
        "Epoch 1: 6 rows of 9 leaves; not in the file: 3 before the first row, 0 among the rows, 0 after the last.\n",
    );
    expect(status).toBe(0);
    const json = await audit("check-export", fileOf(content), "--public-key", vkey, "--json");
    expect(JSON.parse(json.out)).toMatchObject({
      ok: true,
      shown: { epochs: [{ epoch: 1, size: 9, rows: 6, leavesLeftOut: { before: 3, among: 0, after: 0 } }] },
    });
  });

  test("names the line and the row that was changed", async () => {
    const { out, status } = await audit(
      "check-export",
      fileOf(exported.replace("refund-4", "refund-5")),
      "--key",
      vkey,
    );
    expect(status).toBe(1);
    expect(out).toMatch(/^FAILED at row: line 5: the columns of decision .*00004 do not have the hash/);
  });

  test.each([
    ["was cut", (packed: Buffer) => packed.subarray(0, -9)],
    [
      "was changed",
      (packed: Buffer) => packed.with(packed.length >> 1, ((packed.at(packed.length >> 1) as number) ^ 1) & 255),
    ],
  ])("fails on a packed file that %s", async (_, change) => {
    for (const packed of [gzipSync(exported), zstdCompressSync(exported)]) {
      const { out, status } = await audit("check-export", fileOf(Buffer.from(change(packed))), "--key", vkey);
      expect(status).toBe(1);
      expect(out).toContain("FAILED at");
    }
  });

  test.each([
    ["zstd", zstdCompressSync(exported), zstdCompressSync("{}\n")],
    ["gzip", gzipSync(exported), gzipSync("{}\n")],
  ])("does not pass over what comes after a file packed with %s", async (_, packed, more) => {
    for (const added of [more, Buffer.from("xx")]) {
      const { out, status } = await audit("check-export", fileOf(Buffer.concat([packed, added])), "--key", vkey);
      expect(status).toBe(1);
      expect(out).toContain("FAILED at format");
    }
  });

  test("ends at a line that has no end", async () => {
    const packed = gzipSync(Buffer.alloc(16 << 20, "a"));
    const { out } = await audit("check-export", fileOf(packed), "--key", vkey);
    expect(out).toContain("FAILED at format: line 1: the file is truncated: it ends within a line");
  });
});

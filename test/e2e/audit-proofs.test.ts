import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cli, type CliResult } from "../support/cli.ts";
import { findPython } from "../support/python.ts";
import { ask, demoKey, discard, type Env, type ServiceProcess, startService } from "../support/service.ts";

const dir = mkdtempSync(join(tmpdir(), "datacrawl-proofs-"));
const file = (name: string): string => join(dir, name);
let service: ServiceProcess;
let env: Env;
const ids: string[] = [];

const audit = (...args: string[]): Promise<CliResult> => cli(["audit", ...args], env);

beforeAll(async () => {
  service = await startService();
  env = { DATACRAWL_DATA_DIR: service.dataDir };
  const key = demoKey(service.dataDir);
  for (let index = 0; index < 5; index++) {
    const payload = { amount: index, currency: "EUR", note: "caf\u00e9 \ud83d\ude00" };
    const { body } = await ask(service.connectUrl, key, {
      tool: "stripe.refund",
      payload,
      idempotencyKey: `k${index}`,
    });
    ids.push(String(body["decisionId"]));
  }
}, 90_000);
afterAll(async () => {
  await discard(service);
  rmSync(dir, { recursive: true });
});

test("an auditor with a public key checks proofs and an export, without us; one byte changed is named", async () => {
  writeFileSync(file("kept.checkpoint"), (await audit("seal")).stdout);
  writeFileSync(file("keys"), (await audit("key")).stdout);
  const proven = await audit("prove", ids[2] as string, "--payload");
  expect(proven).toMatchObject({ status: 0, stderr: "" });
  writeFileSync(file("proof.json"), proven.stdout);

  expect(await audit("erase-payload", ids[2] as string, "--reason", "a wish")).toMatchObject({
    status: 0,
    stdout: "Erased.\n",
  });
  await audit("seal");
  writeFileSync(file("since.json"), (await audit("prove-consistency", file("kept.checkpoint"))).stdout);
  const exported = await audit("export", "--payloads", "--gzip", "--out", file("all.jsonl.gz"));
  expect(exported).toMatchObject({ status: 0, stderr: expect.stringContaining("Exported 5 decisions") as string });
  expect(exported.stderr).toContain("and 4 payloads");
  expect(await audit("export", "--out", file("all.jsonl.gz"))).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("exists already") as string,
  });
  const plain = await audit("export");
  writeFileSync(file("all.jsonl"), plain.stdout);
  writeFileSync(file("changed.jsonl"), plain.stdout.replace('"idempotency_key":"k3"', '"idempotency_key":"k4"'));
  expect(readdirSync(dir).filter((name) => name.includes("partial"))).toEqual([]);

  for (const name of ["proof.json", "since.json"])
    expect(await audit("check-proof", file(name), "--key", file("keys"))).toMatchObject({ status: 0, stderr: "" });
  expect(await audit("check-export", file("all.jsonl.gz"), "--key", file("keys"))).toMatchObject({
    status: 0,
    stderr: "",
  });

  const python = findPython("cryptography.hazmat.primitives.asymmetric.ed25519", "cryptography");
  if (python === null) return;
  const verify = (name: string) =>
    spawnSync(python, ["clients/python-verify/datacrawl_verify.py", file(name), "--key", file("keys")], {
      encoding: "utf8",
    });
  for (const name of ["proof.json", "since.json", "all.jsonl.gz", "all.jsonl"])
    expect(verify(name)).toMatchObject({ status: 0, stderr: "" });
  const changed = verify("changed.jsonl");
  expect(changed.status).toBe(1);
  expect(changed.stdout).toContain(`the columns of decision ${ids[3]} do not have the hash`);
}, 120_000);

test("what is on record tells of the export and of the erased payload", async () => {
  await audit("seal");
  const events = (await audit("export")).stdout.split("\n");
  const ofKind = (kind: string): string | undefined => events.find((line) => line.includes(`"kind":"${kind}"`));
  expect(ofKind("audit.exported")).toContain("all.jsonl.gz");
  expect(ofKind("payload.erased")).toContain(ids[2]);
}, 60_000);

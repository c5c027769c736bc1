// @module-tag full
import { randomUUID } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { encodeEntry, NO_HASH } from "../../src/core/journal-format.ts";
import { agentId, deny } from "../../clients/typescript/test/support/journal-samples.ts";
import { type Cluster, makeAgent, makeCluster } from "../support/cluster.ts";
import { demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";

let service: ServiceProcess;
beforeAll(async () => {
  service = await startService({ DATACRAWL_AGENT_RATE: "1", DATACRAWL_AGENT_BURST: "3" });
});
afterAll(() => discard(service));

const journalId = "0195e0b2-0000-7000-8000-000000000001";
/** No guard wrote it, so that nothing is recorded; what is counted is that it was sent. */
const RECORD = { sequence: "1", body: "e30=" };

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const call = (method: string, request: object): Promise<Answer> =>
  callAs(service.connectUrl, demoKey(service.dataDir), method, request);

async function callAs(url: string, key: string, method: string, request: object): Promise<Answer> {
  const response = await fetch(`${url}/datacrawl.authz.v1.AuthorizeService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(request),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("an agent that uploads without end waits, and neither its questions nor its revocations wait for that", async () => {
  const upload = () => call("SyncGuard", { journalId, records: Array.from({ length: 400 }, () => RECORD) });
  expect(await upload()).toMatchObject({ status: 200 });
  const refused = await upload();
  expect(refused).toMatchObject({ status: 429, body: { code: "resource_exhausted" } });
  expect(JSON.stringify(refused.body["details"])).toContain("google.rpc.RetryInfo");

  expect(await call("SyncGuard", { journalId })).toMatchObject({ status: 200 });
  const question = { tool: "crm.create_contact", payload: {}, idempotencyKey: "k" };
  expect(await call("Authorize", question)).toMatchObject({ status: 200 });
});

describe.skipIf(inject("postgresUrl") === null)("what a guard has recorded, sent to a service on Postgres,", () => {
  let cluster: Cluster;
  let onPostgres: ServiceProcess;
  let database: pg.Client;
  let key: string;
  const journal = randomUUID();

  beforeAll(async () => {
    cluster = (await makeCluster()) as Cluster;
    onPostgres = await startService(cluster.env);
    key = await makeAgent(agentId, { ...cluster.env, DATACRAWL_DATA_DIR: onPostgres.dataDir });
    database = new pg.Client(cluster.superUrl);
    await database.connect();
  });
  afterAll(async () => {
    await database?.end();
    await discard(onPostgres);
  });

  const newRecord = (sequence: number) => encodeEntry(deny(), { journalId: journal, sequence, coalesced: 0 }, NO_HASH);
  const upload = async (record: ReturnType<typeof newRecord>): Promise<Answer> => {
    const { sequence, previousHash, hash, body } = record;
    const bytes = { previousHash: base64(previousHash), hash: base64(hash), body: base64(body) };
    const request = { journalId: journal, records: [{ sequence: String(sequence), ...bytes }] };
    return await callAs(onPostgres.connectUrl, key, "SyncGuard", request);
  };
  const rowsOf = async ({ hash }: { hash: Uint8Array }): Promise<{ detail: string }[]> =>
    (
      await database.query<{ detail: string }>("SELECT detail FROM audit_decisions WHERE guard_record_hash = $1", [
        hash,
      ])
    ).rows;

  test("is acknowledged when its row is committed, and not while the commit waits: the guard keeps it, and sends it again", async () => {
    const record = newRecord(1);
    await database.query("BEGIN; LOCK TABLE guard_records IN SHARE MODE");
    const refused = await upload(record);
    expect(refused).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(refused.body["recordedHashes"]).toBeUndefined();
    await database.query("COMMIT");
    expect(await upload(record)).toMatchObject({ status: 200, body: { recordedHashes: [base64(record.hash)] } });
    expect(await rowsOf(record)).toHaveLength(1);
  });

  test("is flagged where two records have one place in the journal, in two uploads: one of them was made up", async () => {
    const [first, second, other] = [newRecord(7), newRecord(7), newRecord(8)];
    for (const record of [first, second, other]) expect(await upload(record)).toMatchObject({ status: 200 });
    const flagsOf = async (record: typeof first): Promise<unknown> =>
      (JSON.parse((await rowsOf(record))[0]?.detail ?? "null") as { flags?: string[] }).flags;
    expect([await flagsOf(first), await flagsOf(second), await flagsOf(other)]).toEqual([
      undefined,
      ["sequence_used_twice"],
      undefined,
    ]);
  });
});

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

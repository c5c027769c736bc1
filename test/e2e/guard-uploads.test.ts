import { afterAll, beforeAll, expect, test } from "vitest";
import { demoKey, discard, type ServiceProcess, startService } from "../support/service.ts";

let service: ServiceProcess;
beforeAll(async () => {
  service = await startService({ DATACRAWL_AGENT_RATE: "1", DATACRAWL_AGENT_BURST: "3" });
});
afterAll(() => discard(service));

const journalId = "0195e0b2-0000-7000-8000-000000000001";
/** No guard wrote it, so that nothing is recorded; what is counted is that it was sent. */
const RECORD = { sequence: "1", body: "e30=" };

async function call(method: string, request: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${service.connectUrl}/datacrawl.authz.v1.AuthorizeService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${demoKey(service.dataDir)}` },
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

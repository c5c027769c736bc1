import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { AuditScope } from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import type { Prepared } from "../peers/datacrawl.ts";
import { withClient } from "../support/stores.ts";

/**
 * A full verification within the service, at the pace at which it works beside decisions, from `run` until what `run` gives is
 * disposed of. A run that is taken from the database ends at the service's next word about it.
 */
export function verifying(
  prepared: Prepared,
  url: string,
): { readonly run: () => Promise<AsyncDisposable>; readonly rows: number[] } {
  const rows: number[] = [];
  const socketPath = join(prepared.environment["DATACRAWL_DATA_DIR"]!, "admin.sock");
  const options = { baseUrl: "http://admin.sock", httpVersion: "1.1", nodeOptions: { socketPath } } as const;
  const admin = createClient(AdminService, createConnectTransport(options));
  const run = async (): Promise<AsyncDisposable> => {
    const { run } = await admin.startAuditVerification({ scope: AuditScope.FULL });
    return {
      async [Symbol.asyncDispose]() {
        rows.push(await endRun(url, run!.runId));
      },
    };
  };
  return { run, rows };
}

/** @returns how many rows it had read */
async function endRun(url: string, runId: string): Promise<number> {
  return await withClient(url, async (client) => {
    const sql = "DELETE FROM audit_runs WHERE run_id = $1 RETURNING (progress::json->>'rows')::int AS rows";
    const { rows } = await client.query<{ rows: number }>(sql, [runId]);
    return rows[0]?.rows ?? 0;
  });
}

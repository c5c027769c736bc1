import { create } from "@bufbuild/protobuf";
import {
  type AuditFinding,
  AuditFindingSchema,
  type AuditRun,
  AuditRunSchema,
  AuditRunState,
  AuditScope,
  type StartAuditVerificationRequest,
} from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import type { PageTokens } from "../../admin/page-tokens.ts";
import type { VerificationOperations } from "../../admin/verification.ts";
import type { VerificationRun } from "../../audit/verify/run.ts";
import type { Finding } from "../../audit/verify/findings.ts";
import type { Scope } from "../../audit/verify/plan.ts";
import { Fault } from "../../core/fault.ts";
import { timestampOf } from "../codec/timestamp.ts";
import type { AdminMethods } from "./methods.ts";
import { pageLimit } from "./paging.ts";

type Methods = Pick<AdminMethods, "startAuditVerification" | "getAuditRun" | "listAuditRuns">;

export function verificationMethods(verification: VerificationOperations, pages: PageTokens): Methods {
  return {
    async startAuditVerification(request, { actor }) {
      return { run: runMessage(await verification.start(scopeOf(request), actor)) };
    },
    async getAuditRun({ runId }) {
      if (!/^[0-9a-f-]{36}$/i.test(runId))
        throw new Fault("FIELD_INVALID", "run_id must be a UUID.", { field: "run_id" });
      return { run: runMessage(await verification.find(runId)) };
    },
    async listAuditRuns({ pageSize, pageToken }) {
      const { runs, more } = await verification.list(
        pages.open(pageToken, "runs") as number | null,
        pageLimit(pageSize),
      );
      const last = more ? runs.at(-1) : undefined;
      return { runs: runs.map(runMessage), nextPageToken: pages.next(last?.startedAt, "runs") };
    },
  };
}

function scopeOf({ scope, since }: StartAuditVerificationRequest): Scope {
  if (scope === AuditScope.UNSPECIFIED || scope === AuditScope.INCREMENTAL) return { kind: "incremental" };
  if (scope === AuditScope.FULL) return { kind: "full" };
  if (scope !== AuditScope.SINCE || since === undefined)
    throw new Fault("FIELD_INVALID", "since must be set for AUDIT_SCOPE_SINCE.", { field: "since" });
  return { kind: "since", since: Number(since.seconds) * 1_000_000 + Math.floor(since.nanos / 1000) };
}

const STATE = { running: AuditRunState.RUNNING, passed: AuditRunState.PASSED, failed: AuditRunState.FAILED } as const;
const TABLE = { decisions: "audit_decisions", events: "audit_events" } as const;

function runMessage(run: VerificationRun): AuditRun {
  const { runId, scope, startedBy, progress } = run;
  return create(AuditRunSchema, {
    runId,
    scope,
    startedBy,
    startedAt: timestampOf(run.startedAt),
    ...(run.finishedAt === null ? {} : { finishedAt: timestampOf(run.finishedAt) }),
    updatedAt: timestampOf(run.updatedAt),
    state: STATE[run.state],
    rows: BigInt(progress.rows),
    totalRows: BigInt(progress.total),
    problems: BigInt(progress.problems),
    findings: progress.findings.map(findingMessage),
  });
}

function findingMessage(finding: Finding): AuditFinding {
  const { check, detail, stream, id, recordedAt, epoch, seq } = finding;
  return create(AuditFindingSchema, {
    check,
    detail,
    ...(stream === undefined ? {} : { table: TABLE[stream] }),
    ...(id === undefined ? {} : { rowId: id }),
    ...(recordedAt === undefined ? {} : { recordedAtUs: BigInt(recordedAt) }),
    ...(epoch === undefined ? {} : { epoch }),
    ...(seq === undefined ? {} : { seq: BigInt(seq) }),
  });
}

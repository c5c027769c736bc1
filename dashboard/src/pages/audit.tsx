import { useMutation, useQuery } from "@connectrpc/connect-query";
import { Link } from "wouter";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import {
  type AuditRun,
  AuditRunState,
  AuditScope,
  type GetAuditStatusResponse,
} from "@datacrawl/proto/datacrawl/authz/v1/audit_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { queries } from "../api.ts";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useMay } from "../session.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Empty, sayFailure, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { person, Untrusted, visible } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

const EVERYTHING = { scope: AuditScope.FULL };

/** Whether the trail holds, and how anybody can check that without trusting us. */
export function AuditPage() {
  const status = useQuery(AdminService.method.getAuditStatus, {});
  const keys = useQuery(AdminService.method.listAuditKeys, {});
  const mayChange = useMay(OperatorRole.OPERATOR);
  const onSuccess = (): void => void queries.invalidateQueries();
  const seal = useMutation(AdminService.method.sealAudit, { onSuccess });
  const verify = useMutation(AdminService.method.startAuditVerification, { onSuccess });
  const error = seal.error ?? verify.error;
  useRenewed(status.refetch);
  return (
    <Page
      title="Audit"
      lead="Every decision is hashed, sealed into a Merkle tree, and signed. A verification reads all of it again."
      actions={
        mayChange ? (
          <>
            <button
              type="button"
              className="primary"
              disabled={verify.isPending}
              onClick={() => verify.mutate(EVERYTHING)}
            >
              Verify now
            </button>
            <button type="button" disabled={seal.isPending} onClick={() => seal.mutate({})}>
              {seal.isPending ? "Sealing…" : "Seal now"}
            </button>
          </>
        ) : null
      }
    >
      {error === null ? null : (
        <p className="notice deny" role="alert">
          {sayFailure(error)}
        </p>
      )}
      <Runs />
      <section className="card" aria-label="Seals">
        <h2>Seals</h2>
        <Shown of={status} what="the state of the trail">
          {(known) => <Seals status={known} />}
        </Shown>
      </section>
      <section className="card" aria-label="Public keys">
        <h2>Public keys</h2>
        <p className="muted field">
          Give these to those who verify the trail; the last one signs. <code>datacrawl audit key</code> prints them,
          too.
        </p>
        <Shown of={keys} what="keys">
          {({ keys: all }) => (
            <pre className="block" tabIndex={0} aria-label="Verifier keys">
              {all.map(({ vkey }) => vkey).join("\n")}
            </pre>
          )}
        </Shown>
      </section>
    </Page>
  );
}

const RUNS: Readonly<Record<AuditRunState, { readonly word: string; readonly tone: Tone }>> = {
  [AuditRunState.UNSPECIFIED]: { word: "unknown", tone: "neutral" },
  [AuditRunState.RUNNING]: { word: "running", tone: "review" },
  [AuditRunState.PASSED]: { word: "the trail holds", tone: "allow" },
  [AuditRunState.FAILED]: { word: "the trail does not hold", tone: "deny" },
};

function Runs() {
  const runs = useQuery(AdminService.method.listAuditRuns, { pageSize: 20 });
  useRenewed(runs.refetch);
  return (
    <section className="card" aria-label="Verifications">
      <h2>Verifications</h2>
      <Shown of={runs} what="verifications">
        {({ runs: rows }) =>
          rows.length === 0 ? (
            <Empty title="None yet">
              <p>
                It runs every night, by the button above, and by <code>datacrawl audit verify</code>.
              </p>
            </Empty>
          ) : (
            <>
              <Findings run={rows.find(({ state }) => state !== AuditRunState.RUNNING)} />
              <Table label="Verifications, newest first" rows={rows} keyOf={(row) => row.runId} columns={COLUMNS} />
            </>
          )
        }
      </Shown>
    </section>
  );
}

const COLUMNS = [
  {
    title: "Result",
    cell: ({ state }: AuditRun) => {
      const { word, tone } = RUNS[state] ?? RUNS[AuditRunState.UNSPECIFIED];
      return <Badge tone={tone}>{word}</Badge>;
    },
  },
  { title: "Began", cell: ({ startedAt }: AuditRun) => <Time at={startedAt} /> },
  { title: "By", cell: ({ startedBy }: AuditRun) => person(startedBy) },
  { title: "What", cell: ({ scope }: AuditRun) => scope },
  {
    title: "Rows",
    cell: ({ rows, totalRows }: AuditRun) => `${rows.toLocaleString("en")} of ${totalRows.toLocaleString("en")}`,
    numeric: true,
  },
  { title: "Problems", cell: ({ problems }: AuditRun) => problems.toLocaleString("en"), numeric: true },
];

const MOST_FINDINGS = 50;

/** Which rows are at fault, each with the way to it. */
function Findings({ run }: { readonly run: AuditRun | undefined }) {
  if (run === undefined || run.findings.length === 0) return null;
  return (
    <div className="notice deny field" role="alert">
      <p>
        <strong>Found by the last verification:</strong>
      </p>
      <ul className="plain">
        {run.findings.slice(0, MOST_FINDINGS).map((finding, index) => (
          <li key={`${index} ${finding.rowId ?? ""}`}>
            <code>{finding.check}</code> <Untrusted text={finding.detail} limit={300} />{" "}
            {finding.table === "audit_decisions" && finding.rowId !== undefined ? (
              <Link href={`/decisions/${finding.rowId}`}>look at the row</Link>
            ) : null}
          </li>
        ))}
      </ul>
      {run.findings.length > MOST_FINDINGS ? (
        <p>
          <code>datacrawl audit verify</code> prints all {String(run.problems)}.
        </p>
      ) : null}
    </div>
  );
}

/** What waits for its seal is counted so far. */
const COUNTED = 10_000n;

function Seals({ status }: { readonly status: GetAuditStatusResponse }) {
  return (
    <>
      {status.rolledBack ? (
        <p className="notice deny field" role="alert">
          The database lacks rows that a checkpoint outside it holds: it was rolled back. Nothing is sealed until that
          is acknowledged with <code>datacrawl audit acknowledge-rollback</code>.
        </p>
      ) : null}
      {status.problems.map((problem) => (
        <p key={problem} className="notice review field">
          <Untrusted text={problem} />
        </p>
      ))}
      <dl className="facts">
        <dt>Log</dt>
        <dd>
          <code>{status.origin}</code>, epoch {status.epoch}
        </dd>
        <dt>Sealed rows</dt>
        <dd>{status.sealedRows.toLocaleString("en")}</dd>
        <dt>Not sealed yet</dt>
        <dd>{status.unsealedRows < COUNTED ? status.unsealedRows.toLocaleString("en") : "10,000 or more"}</dd>
        <dt>Also kept in</dt>
        <dd>
          {status.checkpointDir === undefined ? (
            <span className="muted">nowhere outside the database</span>
          ) : (
            <code>{status.checkpointDir}</code>
          )}
        </dd>
        <dt>Checkpoint</dt>
        <dd>
          {status.checkpoint === undefined ? (
            <span className="muted">none yet</span>
          ) : (
            <pre className="block">{visible(status.checkpoint)}</pre>
          )}
        </dd>
      </dl>
    </>
  );
}

import type { JsonObject } from "@bufbuild/protobuf";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type FormEvent, useState } from "react";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import type {
  GetPoliciesResponse,
  PolicyVersion,
  RuleText,
  TestPolicyResponse,
} from "@datacrawl/proto/datacrawl/authz/v1/policies_pb";
import { Page } from "../page.tsx";
import { useSearch } from "../search.ts";
import { Badge } from "../ui/badge.tsx";
import { DecisionBadge, reasonWord } from "../ui/decision.tsx";
import { TextArea, TextField } from "../ui/field.tsx";
import { EffectBadge, Findings, RuleSource } from "../ui/rule.tsx";
import { Empty, sayProblem, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

/** The rules in force, or those of an earlier version; and what they would make of a request. */
export function PoliciesPage() {
  const [search, setSearch] = useSearch();
  const version = search.get("version") ?? "";
  const policies = useQuery(AdminService.method.getPolicies, { version });
  const versions = useQuery(AdminService.method.listPolicyVersions, { pageSize: 50 });
  return (
    <Page title="Policies" lead="Deny beats needs review beats allow; what no rule matches is denied.">
      <Shown of={policies} what="the policies">
        {(known) => (
          <>
            <InForce policies={known} />
            <Tester version={version} />
            <Rules rules={known.rules} />
          </>
        )}
      </Shown>
      <section className="card" aria-label="Versions">
        <h2>Versions</h2>
        <Shown of={versions} what="versions">
          {({ versions: rows }) => (
            <Table
              label="Versions, newest first"
              rows={rows}
              keyOf={(row) => row.version}
              columns={[
                {
                  title: "State",
                  cell: (row: PolicyVersion) =>
                    row.active ? <Badge tone="allow">in force</Badge> : <Badge tone="neutral">earlier</Badge>,
                },
                { title: "First used", cell: (row: PolicyVersion) => <Time at={row.firstSeen} /> },
                { title: "Version", cell: (row: PolicyVersion) => <code>{row.version}</code> },
                {
                  title: "Actions",
                  cell: (row: PolicyVersion) => (
                    <button
                      type="button"
                      className="link"
                      aria-label={`look at ${row.version}`}
                      onClick={() => setSearch({ version: row.active ? "" : row.version }, { replace: false })}
                    >
                      look at it
                    </button>
                  ),
                },
              ]}
            />
          )}
        </Shown>
      </section>
    </Page>
  );
}

function InForce({ policies }: { readonly policies: GetPoliciesResponse }) {
  return (
    <>
      {policies.problem === "" ? null : (
        <p className="notice deny" role="alert">
          <strong>Newer files are not in force:</strong> <Untrusted text={policies.problem} />
        </p>
      )}
      <section className="card" aria-label="Which policies">
        <p>
          {policies.active ? <Badge tone="allow">in force</Badge> : <Badge tone="review">not in force</Badge>}{" "}
          <code>{policies.version}</code>
        </p>
        <p className="hint">
          {policies.rules.length} rules in {policies.files.length} files, first used <Time at={policies.firstSeen} />
        </p>
      </section>
    </>
  );
}

function Rules({ rules }: { readonly rules: readonly RuleText[] }) {
  return (
    <section className="card" aria-label="Rules">
      <h2>Rules</h2>
      {rules.length === 0 ? <Empty title="No rules: everything is denied" /> : null}
      {rules.map((rule) => (
        <details key={rule.ruleId}>
          <summary>
            <EffectBadge effect={rule.effect} /> <code>{rule.ruleId}</code>{" "}
            <span className="muted">
              {rule.tools.join(", ")} · {rule.file}:{rule.line}
            </span>
          </summary>
          {rule.description === "" ? null : (
            <p>
              <Untrusted text={rule.description} />
            </p>
          )}
          <RuleSource rule={rule} />
        </details>
      ))}
    </section>
  );
}

const SAMPLE = '{\n  "amount": 250,\n  "currency": "EUR"\n}';

/** What these policies would make of a request; nothing is recorded. */
function Tester({ version }: { readonly version: string }) {
  const [form, setForm] = useState({ agentId: "demo", tool: "stripe.refund", principal: "", payload: SAMPLE });
  const [malformed, setMalformed] = useState<string | null>(null);
  const test = useMutation(AdminService.method.testPolicy);
  const change = (part: Partial<typeof form>): void => setForm({ ...form, ...part });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const payload = objectOf(form.payload);
    setMalformed(payload === null ? "The payload must be a JSON object." : null);
    const { agentId, tool, principal } = form;
    if (payload !== null) test.mutate({ version, agentId, tool, payload, ...(principal === "" ? {} : { principal }) });
  };
  const problem = malformed ?? (test.error === null ? null : sayProblem(test.error));
  return (
    <section className="card" aria-label="Try a request">
      <h2>Try a request</h2>
      <div className="two">
        <form onSubmit={submit}>
          <div className="pair">
            <TextField
              label="Agent"
              className="mono"
              required
              value={form.agentId}
              onChange={(agentId) => change({ agentId })}
            />
            <TextField label="Tool" className="mono" required value={form.tool} onChange={(tool) => change({ tool })} />
            <TextField
              label="Principal"
              className="mono"
              placeholder="none"
              value={form.principal}
              onChange={(principal) => change({ principal })}
            />
          </div>
          <TextArea
            label="Payload"
            className="mono"
            spellCheck={false}
            rows={6}
            value={form.payload}
            onChange={(payload) => change({ payload })}
          />
          <button type="submit" disabled={test.isPending}>
            {test.isPending ? "Asking…" : "What would be answered?"}
          </button>
        </form>
        <div role="status">
          {problem !== null ? <p className="notice deny">{problem}</p> : null}
          {test.data === undefined && problem === null ? (
            <p className="muted">
              The answer appears here, with what each rule made of the request. Nothing is recorded.
            </p>
          ) : null}
          {test.data === undefined || problem !== null ? null : <Outcome tried={test.data} />}
        </div>
      </div>
    </section>
  );
}

function Outcome({ tried }: { readonly tried: TestPolicyResponse }) {
  return (
    <>
      <p>
        <DecisionBadge decision={tried.decision} reason={tried.reason} /> <code>{reasonWord(tried.reason)}</code>
      </p>
      <p>
        <Untrusted text={tried.message} />
      </p>
      <Findings findings={tried.findings} />
    </>
  );
}

function objectOf(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;
  } catch {
    return null;
  }
}

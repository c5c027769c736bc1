import { useInfiniteQuery, useMutation, useQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { AdminService, type CircuitBypass } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { queries } from "../api.ts";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useMay } from "../session.tsx";
import { Badge } from "../ui/badge.tsx";
import { FormDialog } from "../ui/dialog.tsx";
import { DurationField, durationOf } from "../ui/duration.tsx";
import { TextField } from "../ui/field.tsx";
import { ReasonField } from "../ui/reason.tsx";
import { More } from "../ui/pages.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { AgentId, person, Untrusted } from "../ui/text.tsx";
import { Time, Until } from "../ui/time.tsx";

/** The bypasses in force, and those that were. */
export function BypassPage() {
  // Apart, so that no number of newer ones that have ended hides one that still acts.
  const inForce = useQuery(AdminService.method.listCircuitBypasses, { pageSize: 1000 });
  const bypasses = useInfiniteQuery(
    AdminService.method.listCircuitBypasses,
    { includePast: true, pageSize: 100, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  const refetch = () => Promise.all([inForce.refetch(), bypasses.refetch()]);
  useRenewed(refetch);
  const listed = bypasses.data?.pages.flatMap((page) => page.bypasses);
  const data = inForce.data && listed && inForceFirst(inForce.data.bypasses, listed);
  const mayChange = useMay(OperatorRole.OPERATOR);
  const [setting, setSetting] = useState(false);
  const [clearing, setClearing] = useState<string | null>(null);
  return (
    <Page
      title="Circuit bypass"
      lead="Lets one agent act while its circuit is open for failures that it saw itself. It never overrules a policy's deny, and must be set before an outage reaches the service."
      actions={
        mayChange ? (
          <button type="button" className="danger" onClick={() => setSetting(true)}>
            Set a bypass
          </button>
        ) : null
      }
    >
      <section className="card" aria-label="Bypasses">
        <Shown of={{ data, error: inForce.error ?? bypasses.error, refetch }} what="bypasses">
          {(rows) =>
            rows.length === 0 ? (
              <Empty title="No bypass was ever set">
                <p>In an outage every agent is denied.</p>
              </Empty>
            ) : (
              <Table
                label="Bypasses, those in force first"
                rows={rows}
                keyOf={(row) => row.grantId}
                columns={[
                  { title: "State", cell: (row) => <BypassState bypass={row} /> },
                  { title: "Agent", cell: (row) => <AgentId id={row.agentId} /> },
                  {
                    title: "Tools",
                    cell: (row) => (
                      <span className="tool">
                        {row.allTools ? "all tools" : <Untrusted text={row.tools.join(", ")} />}
                      </span>
                    ),
                  },
                  { title: "Because", cell: (row) => <Untrusted text={row.reason} /> },
                  {
                    title: "Set",
                    cell: (row) => (
                      <>
                        <Time at={row.issuedAt} /> by {person(row.operator)}
                      </>
                    ),
                  },
                  { title: "Ends", cell: (row) => <Until at={row.revokedAt ?? row.expiresAt} /> },
                  {
                    title: "Actions",
                    cell: (row) =>
                      mayChange && isInForce(row) ? (
                        <button
                          type="button"
                          className="link"
                          onClick={() => setClearing(row.agentId)}
                          aria-label={`clear the bypass of ${row.agentId}`}
                        >
                          clear
                        </button>
                      ) : (
                        "–"
                      ),
                  },
                ]}
              />
            )
          }
        </Shown>
        <More
          hasMore={bypasses.hasNextPage}
          busy={bypasses.isFetchingNextPage}
          onMore={() => void bypasses.fetchNextPage()}
        />
      </section>
      {setting ? <SetBypass onClose={() => setSetting(false)} /> : null}
      {clearing === null ? null : <ClearBypass agentId={clearing} onClose={() => setClearing(null)} />}
    </Page>
  );
}

function inForceFirst(inForce: readonly CircuitBypass[], listed: readonly CircuitBypass[]): CircuitBypass[] {
  const ids = new Set(inForce.map(({ grantId }) => grantId));
  const rows = [...inForce, ...listed.filter(({ grantId }) => !ids.has(grantId))];
  return [...rows.filter(isInForce), ...rows.filter((row) => !isInForce(row))];
}

export function isInForce({ revokedAt, expiresAt }: CircuitBypass): boolean {
  return revokedAt === undefined && Number(expiresAt?.seconds ?? 0n) * 1000 > Date.now();
}

function BypassState({ bypass }: { readonly bypass: CircuitBypass }) {
  if (isInForce(bypass)) return <Badge tone="review">in force</Badge>;
  if (bypass.revokedAt !== undefined)
    return <Badge tone="neutral">{`ended by ${person(bypass.revokedBy ?? "")}`}</Badge>;
  return <Badge tone="neutral">expired</Badge>;
}

const HOURS = [0.5, 1, 2, 4, 8, 24] as const;

function SetBypass({ onClose }: { readonly onClose: () => void }) {
  const [form, setForm] = useState({ agentId: "", tools: "", allTools: false, reason: "", hours: "4" });
  const set = useMutation(AdminService.method.setCircuitBypass, {
    onSuccess: () => {
      void queries.invalidateQueries();
      onClose();
    },
  });
  const change = (part: Partial<typeof form>): void => setForm({ ...form, ...part });
  const submit = (): void => {
    const tools = form.allTools ? [] : form.tools.split(/[\s,]+/).filter((tool) => tool !== "");
    const { agentId, allTools, reason } = form;
    set.mutate({ agentId, tools, allTools, reason, duration: durationOf(form.hours) });
  };
  return (
    <FormDialog
      title="Set a circuit bypass"
      action="Set the bypass"
      danger
      busy={set.isPending}
      error={set.error}
      onSubmit={submit}
      onClose={onClose}
    >
      <p className="notice review field">
        While its circuit is open, this agent may act unjudged. Each change and each use is recorded. You must have
        signed in within the last 5 minutes.
      </p>
      <TextField
        label="Agent"
        className="mono"
        required
        autoComplete="off"
        value={form.agentId}
        onChange={(agentId) => change({ agentId })}
      />
      <TextField
        label="Tools"
        hint="Exact names, separated by spaces or commas."
        className="mono"
        required={!form.allTools}
        disabled={form.allTools}
        autoComplete="off"
        value={form.tools}
        onChange={(tools) => change({ tools })}
      />
      <p className="field">
        <label>
          <input
            type="checkbox"
            checked={form.allTools}
            onChange={(event) => change({ allTools: event.target.checked })}
          />{" "}
          All tools of this agent
        </label>
      </p>
      <DurationField value={form.hours} onChange={(hours) => change({ hours })} hours={HOURS} />
      <ReasonField value={form.reason} onChange={(reason) => change({ reason })} />
    </FormDialog>
  );
}

function ClearBypass({ agentId, onClose }: { readonly agentId: string; readonly onClose: () => void }) {
  const [reason, setReason] = useState("");
  const clear = useMutation(AdminService.method.clearCircuitBypass, {
    onSuccess: () => {
      void queries.invalidateQueries();
      onClose();
    },
  });
  return (
    <FormDialog
      title={`Clear the bypass of ${agentId}?`}
      action="Clear it"
      danger
      busy={clear.isPending}
      error={clear.error}
      onSubmit={() => clear.mutate({ agentId, reason })}
      onClose={onClose}
    >
      <p className="field">
        Its guards hear of it within 10 seconds while the service is reachable; one that nothing can reach honours it
        until it expires.
      </p>
      <ReasonField value={reason} onChange={setReason} />
    </FormDialog>
  );
}

import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useState } from "react";
import { type Agent, AdminService, AgentState } from "../../../gen/datacrawl/authz/v1/admin_service_pb.ts";
import { OperatorRole } from "../../../gen/datacrawl/authz/v1/operators_pb.ts";
import { queries } from "../api.ts";
import { Page } from "../page.tsx";
import { useMay } from "../session.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { FormDialog } from "../ui/dialog.tsx";
import { Field } from "../ui/field.tsx";
import { ReasonField } from "../ui/reason.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { Time } from "../ui/time.tsx";

const STATES: Readonly<Record<AgentState, { readonly word: string; readonly tone: Tone }>> = {
  [AgentState.UNSPECIFIED]: { word: "unknown", tone: "neutral" },
  [AgentState.ACTIVE]: { word: "active", tone: "allow" },
  [AgentState.FROZEN]: { word: "frozen", tone: "review" },
  [AgentState.REVOKED]: { word: "revoked", tone: "deny" },
};

type Change = "freeze" | "unfreeze" | "revoke";

/** The agents, and what an operator may do to each. */
export function AgentsPage() {
  const agents = useQuery(AdminService.method.listAgents, { pageSize: 1000 });
  const mayChange = useMay(OperatorRole.OPERATOR);
  const [changing, setChanging] = useState<{ agent: Agent; change: Change } | null>(null);
  const [creating, setCreating] = useState(false);
  const done = (): void => {
    setChanging(null);
    void queries.invalidateQueries();
  };
  return (
    <Page
      title="Agents"
      lead="Who may ask. A frozen agent is denied everything within a second; a revoked one is gone for good."
      actions={
        mayChange ? (
          <button type="button" className="primary" onClick={() => setCreating(true)}>
            Create agent
          </button>
        ) : null
      }
    >
      <section className="card" aria-label="Agents">
        <Shown of={agents} what="agents">
          {({ agents: rows, nextPageToken }) =>
            rows.length === 0 ? (
              <Empty title="No agents yet">
                <p>Create one here, or with `datacrawl agent create ID`.</p>
              </Empty>
            ) : (
              <>
                <Table
                  label="Agents"
                  rows={rows}
                  keyOf={(agent) => agent.agentId}
                  columns={[
                    { title: "Agent", cell: (agent) => <strong>{agent.agentId}</strong> },
                    { title: "State", cell: (agent) => <State state={agent.state} /> },
                    { title: "Created", cell: (agent) => <Time at={agent.createdAt} /> },
                    { title: "Keys", cell: (agent) => <code>{agent.keyIds.join(" ") || "none"}</code> },
                    {
                      title: "Actions",
                      cell: (agent) =>
                        mayChange ? <Changes agent={agent} onPick={(change) => setChanging({ agent, change })} /> : "–",
                    },
                  ]}
                />
                {nextPageToken === "" ? null : (
                  <p className="hint">The first 1,000 are shown; `datacrawl agent list` prints all.</p>
                )}
              </>
            )
          }
        </Shown>
      </section>
      {creating ? <Create onClose={() => setCreating(false)} /> : null}
      {changing === null ? null : <ChangeDialog {...changing} onDone={done} onClose={() => setChanging(null)} />}
    </Page>
  );
}

function State({ state }: { readonly state: AgentState }) {
  const { word, tone } = STATES[state] ?? STATES[AgentState.UNSPECIFIED];
  return <Badge tone={tone}>{word}</Badge>;
}

function Changes({ agent, onPick }: { readonly agent: Agent; readonly onPick: (change: Change) => void }) {
  const possible: Change[] =
    agent.state === AgentState.ACTIVE
      ? ["freeze", "revoke"]
      : agent.state === AgentState.FROZEN
        ? ["unfreeze", "revoke"]
        : [];
  return (
    <span className="actions">
      {possible.map((change) => (
        <button
          key={change}
          type="button"
          className="link"
          onClick={() => onPick(change)}
          aria-label={`${change} ${agent.agentId}`}
        >
          {change}
        </button>
      ))}
      {possible.length === 0 ? "–" : null}
    </span>
  );
}

const CONSEQUENCES: Readonly<Record<Change, string>> = {
  freeze: "Every answer becomes a deny within a second, replays of earlier allows too, and its bypass is revoked.",
  unfreeze: "Policy decides again. Its bypass stays revoked.",
  revoke: "Its credentials are refused for good; the id is never given to another agent.",
};

function ChangeDialog(props: {
  readonly agent: Agent;
  readonly change: Change;
  readonly onDone: () => void;
  readonly onClose: () => void;
}) {
  const { agent, change, onDone, onClose } = props;
  const { agentId } = agent;
  const [reason, setReason] = useState("");
  const freeze = useMutation(AdminService.method.freezeAgent, { onSuccess: onDone });
  const unfreeze = useMutation(AdminService.method.unfreezeAgent, { onSuccess: onDone });
  const revoke = useMutation(AdminService.method.revokeAgent, { onSuccess: onDone });
  const used = { freeze, unfreeze, revoke }[change];
  const submit = (): void => {
    if (change === "freeze") freeze.mutate({ agentId, reason });
    else if (change === "unfreeze") unfreeze.mutate({ agentId, reason });
    else revoke.mutate({ agentId });
  };
  return (
    <FormDialog
      title={`${change[0]?.toUpperCase()}${change.slice(1)} ${agentId}?`}
      action={`${change[0]?.toUpperCase()}${change.slice(1)}`}
      danger={change !== "unfreeze"}
      busy={used.isPending}
      error={used.error}
      onSubmit={submit}
      onClose={onClose}
    >
      <p className="field">{CONSEQUENCES[change]}</p>
      {change === "revoke" ? null : <ReasonField value={reason} onChange={setReason} />}
    </FormDialog>
  );
}

function Create({ onClose }: { readonly onClose: () => void }) {
  const [agentId, setAgentId] = useState("");
  const create = useMutation(AdminService.method.createAgent, { onSuccess: () => queries.invalidateQueries() });
  if (create.data !== undefined) {
    return (
      <FormDialog
        title={`${agentId} is created`}
        action="I have copied it"
        busy={false}
        error={null}
        onSubmit={onClose}
        onClose={onClose}
      >
        <p className="field">This is its credential. It cannot be shown again: only a hash of it is kept.</p>
        <pre className="block field">{create.data.key}</pre>
      </FormDialog>
    );
  }
  return (
    <FormDialog
      title="Create an agent"
      action="Create"
      busy={create.isPending}
      error={create.error}
      onSubmit={() => create.mutate({ agentId })}
      onClose={onClose}
    >
      <Field label="Agent id" hint="1 to 63 of a–z, 0–9, dot and hyphen. An id is never used twice.">
        {(input) => (
          <input
            {...input}
            className="mono"
            required
            pattern="[a-z0-9][a-z0-9.\-]{0,62}"
            autoComplete="off"
            value={agentId}
            onChange={(event) => setAgentId(event.target.value)}
          />
        )}
      </Field>
    </FormDialog>
  );
}

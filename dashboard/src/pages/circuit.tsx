import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import {
  AdminService,
  type GetCircuitResponse,
  type GuardCircuit,
} from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { type CircuitOrder, CircuitOrderKind } from "@datacrawl/proto/datacrawl/authz/v1/circuits_pb";
import { OperatorRole } from "@datacrawl/proto/datacrawl/authz/v1/operators_pb";
import { queries } from "../api.ts";
import { useRenewed } from "../live.tsx";
import { Page } from "../page.tsx";
import { useMay } from "../session.tsx";
import { Badge } from "../ui/badge.tsx";
import { CircuitBadge, NextProbe } from "../ui/circuit.tsx";
import { FormDialog } from "../ui/dialog.tsx";
import { DurationField, durationOf } from "../ui/duration.tsx";
import { ReasonField } from "../ui/reason.tsx";
import { Empty, Shown } from "../ui/state.tsx";
import { Table } from "../ui/table.tsx";
import { person, Untrusted } from "../ui/text.tsx";
import { Time } from "../ui/time.tsx";

/** How many circuits GetCircuit returns. */
const MOST = 100;

/** One agent's circuits: how each guard's stands, why, who ordered what, and what may act through it. */
export function CircuitPage({ agentId }: { readonly agentId: string }) {
  const asked = useQuery(AdminService.method.getCircuit, { agentId });
  useRenewed(asked.refetch);
  const mayChange = useMay(OperatorRole.OPERATOR) && asked.data !== undefined;
  const [ordering, setOrdering] = useState<"force" | "reset" | null>(null);
  const close = (): void => setOrdering(null);
  return (
    <Page
      title={`Circuits of ${agentId.slice(0, 63)}`}
      lead="An open circuit denies at once and probes the service now and then. It changes how fast a denial comes, never what is allowed."
      actions={
        mayChange ? (
          <>
            <button type="button" className="danger" onClick={() => setOrdering("force")}>
              Force open
            </button>
            <button type="button" onClick={() => setOrdering("reset")}>
              Reset
            </button>
          </>
        ) : null
      }
    >
      <Shown of={asked} what="the circuits">
        {(answer) => <Circuits answer={answer} />}
      </Shown>
      {ordering === "force" ? <ForceOpen agentId={agentId} onClose={close} /> : null}
      {ordering === "reset" ? <Reset agentId={agentId} onClose={close} /> : null}
    </Page>
  );
}

function Circuits({ answer: { circuits, forced, bypass, orders } }: { readonly answer: GetCircuitResponse }) {
  return (
    <>
      {forced === undefined ? null : (
        <p className="notice outage">
          <strong>Held open by {person(forced.operator)}</strong>
          {forced.expiresAt === undefined ? ", until it is reset" : null}
          {forced.expiresAt === undefined ? null : (
            <>
              , ends <Time at={forced.expiresAt} />
            </>
          )}
          : <Untrusted text={forced.reason} />
        </p>
      )}
      {bypass === undefined ? null : (
        <p className="notice review">
          <strong>A bypass is in force</strong>, set by {person(bypass.operator)}, ends <Time at={bypass.expiresAt} />.{" "}
          {forced === undefined
            ? "Each guard whose own failures opened its circuit may act."
            : "It does not act on a circuit that is held open."}{" "}
          <Link href="/bypass">Look, or clear it</Link>
        </p>
      )}
      {circuits.length === 0 ? (
        <section className="card">
          <Empty title="No guard of this agent has reported within an hour" />
        </section>
      ) : (
        circuits.map((circuit) => <Guard key={circuit.journalId} circuit={circuit} />)
      )}
      {circuits.length < MOST ? null : (
        <p className="hint">
          The {MOST} guards that reported last. <Link href="/circuits">All circuits</Link> has the others.
        </p>
      )}
      <section className="card" aria-label="Orders">
        <h2>Orders</h2>
        {orders.length === 0 ? (
          <p className="muted">Nobody has forced it open or reset it.</p>
        ) : (
          <Table label="Orders, newest first" rows={orders} keyOf={(order) => String(order.epoch)} columns={ORDERS} />
        )}
      </section>
    </>
  );
}

function Guard({ circuit }: { readonly circuit: GuardCircuit }) {
  const { journalId, report, reportedAt } = circuit;
  const facts: readonly (readonly [string, ReactNode])[] = [
    ["Failures in a row", report?.consecutiveFailures ?? 0],
    ["Opened", report?.openedAt === undefined ? "–" : <Time key="opened" at={report.openedAt} />],
    ["Next probe", <NextProbe key="probe" circuit={circuit} />],
    ["Records to upload", String(report?.unsyncedRecords ?? 0n)],
    ["Denies counted only", String(report?.coalescedDenies ?? 0n)],
    ["Reported", <Time key="reported" at={reportedAt} />],
  ];
  return (
    <section className="card" aria-label={`Guard ${journalId}`}>
      <div className="head">
        <h2>
          Guard <code>{journalId}</code>
        </h2>
        <CircuitBadge circuit={circuit} />
      </div>
      <dl className="facts">
        {facts.map(([name, fact]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{fact}</dd>
          </div>
        ))}
        <div>
          <dt>Last errors, newest first</dt>
          <dd>
            {report === undefined || report.lastErrors.length === 0 ? "none" : <Errors texts={report.lastErrors} />}
          </dd>
        </div>
      </dl>
    </section>
  );
}

function Errors({ texts }: { readonly texts: readonly string[] }) {
  return (
    <ol className="plain">
      {texts.map((text, index) => (
        <li key={`${index} ${text}`}>
          <Untrusted text={text} limit={200} />
        </li>
      ))}
    </ol>
  );
}

const ORDERS = [
  {
    title: "Order",
    cell: ({ kind }: CircuitOrder) =>
      kind === CircuitOrderKind.FORCE_OPEN ? (
        <Badge tone="outage">force open</Badge>
      ) : (
        <Badge tone="neutral">reset</Badge>
      ),
  },
  { title: "By", cell: ({ operator }: CircuitOrder) => person(operator) },
  { title: "When", cell: ({ issuedAt }: CircuitOrder) => <Time at={issuedAt} /> },
  {
    title: "Ends",
    cell: ({ kind, expiresAt }: CircuitOrder) =>
      kind === CircuitOrderKind.RESET ? "–" : expiresAt === undefined ? "with a reset" : <Time at={expiresAt} />,
  },
  { title: "Because", cell: ({ reason }: CircuitOrder) => <Untrusted text={reason} /> },
];

interface OrderProps {
  readonly agentId: string;
  readonly onClose: () => void;
}

const HOURS = [0.25, 1, 4, 24] as const;

function ForceOpen({ agentId, onClose }: OrderProps) {
  const [reason, setReason] = useState("");
  const [hours, setHours] = useState("1");
  const force = useMutation(AdminService.method.forceOpenCircuit, { onSuccess: () => ordered(onClose) });
  const submit = (): void => force.mutate({ agentId, reason, duration: durationOf(hours) });
  return (
    <FormDialog
      title={`Force the circuits of ${agentId} open?`}
      action="Force open"
      danger
      busy={force.isPending}
      error={force.error}
      onSubmit={submit}
      onClose={onClose}
    >
      <p className="field">
        Its guards deny everything within seconds, as if the service were down, and keep to it while the service is. No
        bypass acts meanwhile. An agent that asks the service without a guard is not held: freeze it instead.
      </p>
      <DurationField value={hours} onChange={setHours} hours={HOURS} endless="until it is reset" />
      <ReasonField value={reason} onChange={setReason} />
    </FormDialog>
  );
}

function Reset({ agentId, onClose }: OrderProps) {
  const [reason, setReason] = useState("");
  const reset = useMutation(AdminService.method.resetCircuit, { onSuccess: () => ordered(onClose) });
  return (
    <FormDialog
      title={`Reset the circuits of ${agentId}?`}
      action="Reset"
      busy={reset.isPending}
      error={reset.error}
      onSubmit={() => reset.mutate({ agentId, reason })}
      onClose={onClose}
    >
      <p className="field">
        A forced opening ends. If a circuit is open because of failures, the next call probes the service; it closes
        only if that succeeds.
      </p>
      <ReasonField value={reason} onChange={setReason} />
    </FormDialog>
  );
}

function ordered(onClose: () => void): void {
  void queries.invalidateQueries();
  onClose();
}

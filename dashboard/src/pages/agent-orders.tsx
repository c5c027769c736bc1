import { useMutation } from "@connectrpc/connect-query";
import { useState } from "react";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { queries } from "../api.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { type Choices, Select, TextField } from "../ui/field.tsx";
import { ReasonField } from "../ui/reason.tsx";

/** What an operator is about to do. */
export type Order = CreateOrder | FreezingOrder | RevokeOrder | KeysOrder;

interface CreateOrder {
  readonly kind: "create";
}

interface FreezingOrder {
  readonly kind: "freeze" | "unfreeze";
  readonly agentId: string;
}

interface RevokeOrder {
  readonly kind: "revoke";
  readonly agentId: string;
}

interface KeysOrder {
  readonly kind: "keys";
  readonly agentId: string;
  readonly keyIds: readonly string[];
}

interface DialogProps<Of extends Order> {
  readonly order: Of;
  readonly onClose: () => void;
}

const onSuccess = (): void => void queries.invalidateQueries();

/** Asks for what an order needs, and gives it. */
export function AgentDialog({ order, onClose }: { readonly order: Order; readonly onClose: () => void }) {
  if (order.kind === "create") return <Create onClose={onClose} />;
  if (order.kind === "keys") return <Keys order={order} onClose={onClose} />;
  if (order.kind === "revoke") return <Revoke order={order} onClose={onClose} />;
  return <Freezing order={order} onClose={onClose} />;
}

function Create({ onClose }: { readonly onClose: () => void }) {
  const [agentId, setAgentId] = useState("");
  const create = useMutation(AdminService.method.createAgent, { onSuccess });
  if (create.data !== undefined)
    return <Credential title={`${agentId} is created`} credential={create.data.key} onClose={onClose} />;
  return (
    <FormDialog
      title="Create an agent"
      action="Create"
      busy={create.isPending}
      error={create.error}
      onSubmit={() => create.mutate({ agentId })}
      onClose={onClose}
    >
      <TextField
        label="Agent id"
        hint="1 to 63 of a–z, 0–9, dot and hyphen. An id is never used twice."
        className="mono"
        required
        pattern="[a-z0-9][a-z0-9.\-]{0,62}"
        autoComplete="off"
        value={agentId}
        onChange={setAgentId}
      />
    </FormDialog>
  );
}

interface CredentialProps {
  readonly title: string;
  readonly credential: string;
  readonly onClose: () => void;
}

function Credential({ title, credential, onClose }: CredentialProps) {
  return (
    <FormDialog
      key="credential"
      title={title}
      action="I have copied it"
      canCancel={false}
      busy={false}
      error={null}
      onSubmit={onClose}
      onClose={onClose}
    >
      <p className="field">This is its credential. It cannot be shown again: only a hash of it is kept.</p>
      <pre className="block field" tabIndex={0} aria-label="Credential">
        {credential}
      </pre>
    </FormDialog>
  );
}

const FREEZING = {
  freeze: {
    action: "Freeze",
    consequence:
      "Every answer becomes a deny within a second, replays of earlier allows too, and its bypass is revoked.",
  },
  unfreeze: { action: "Unfreeze", consequence: "Policy decides again. Its bypass stays revoked." },
} as const;

function Freezing({ order: { kind, agentId }, onClose }: DialogProps<FreezingOrder>) {
  const [reason, setReason] = useState("");
  const done = {
    onSuccess: () => {
      onSuccess();
      onClose();
    },
  };
  const freeze = useMutation(AdminService.method.freezeAgent, done);
  const unfreeze = useMutation(AdminService.method.unfreezeAgent, done);
  const change = { freeze, unfreeze }[kind];
  const { action, consequence } = FREEZING[kind];
  return (
    <FormDialog
      title={`${action} ${agentId}?`}
      action={action}
      danger={kind === "freeze"}
      busy={change.isPending}
      error={change.error}
      onSubmit={() => change.mutate({ agentId, reason })}
      onClose={onClose}
    >
      <p className="field">{consequence}</p>
      <ReasonField value={reason} onChange={setReason} />
    </FormDialog>
  );
}

/** Nothing takes it back, so the id must be typed. */
function Revoke({ order: { agentId }, onClose }: DialogProps<RevokeOrder>) {
  const [typed, setTyped] = useState("");
  const revoke = useMutation(AdminService.method.revokeAgent, {
    onSuccess: () => {
      onSuccess();
      onClose();
    },
  });
  return (
    <FormDialog
      title={`Revoke ${agentId}?`}
      action="Revoke"
      danger
      busy={revoke.isPending}
      error={revoke.error}
      onSubmit={() => revoke.mutate({ agentId })}
      onClose={onClose}
    >
      <p className="field">Its credentials are refused for good; the id is never given to another agent.</p>
      <TextField
        label="Type the agent's id to confirm"
        className="mono"
        required
        pattern={agentId.replaceAll(".", "\\.")}
        title={agentId}
        autoComplete="off"
        value={typed}
        onChange={setTyped}
      />
    </FormDialog>
  );
}

const MOST_KEYS = 2;

/** A new key, or the end of an old one: together they change the agent's key without a gap. */
function Keys({ order: { agentId, keyIds }, onClose }: DialogProps<KeysOrder>) {
  const choices: Choices = [
    ...(keyIds.length < MOST_KEYS ? [["", "make another key"] as const] : []),
    ...keyIds.map((keyId) => [keyId, `revoke ${keyId}`] as const),
  ];
  const [keyId, setKeyId] = useState(choices[0]?.[0] ?? "");
  const make = useMutation(AdminService.method.createAgentKey, { onSuccess });
  const revoke = useMutation(AdminService.method.revokeAgentKey, {
    onSuccess: () => {
      onSuccess();
      onClose();
    },
  });
  if (make.data !== undefined)
    return <Credential title={`${agentId} has a new key`} credential={make.data.key} onClose={onClose} />;
  return (
    <FormDialog
      title={`Keys of ${agentId}`}
      action={keyId === "" ? "Make it" : "Revoke it"}
      danger={keyId !== ""}
      busy={make.isPending || revoke.isPending}
      error={make.error ?? revoke.error}
      onSubmit={() => (keyId === "" ? make.mutate({ agentId }) : revoke.mutate({ agentId, keyId }))}
      onClose={onClose}
    >
      <p className="field">
        An agent may have two keys, so that one replaces the other without a gap: make another, put it where the agent
        reads it, and revoke the old one when the agent uses the new one.
      </p>
      <Select label="What to do" choices={choices} value={keyId} onChange={setKeyId} />
    </FormDialog>
  );
}

import type { Generated } from "kysely";
import type { AgentState } from "../authn/directory.ts";
import type { VerificationRun } from "../audit/verify/run.ts";
import type { Micros } from "../core/clock.ts";
import type { Decision, Reason, Source } from "../core/decision.ts";
import type { Outcome } from "../execution/execution.ts";
import type { ReviewAnswer, ReviewState } from "../review/review.ts";
import type { CircuitCommand } from "./circuit-commands.ts";
import type { Role } from "../authn/role.ts";

/*
 * The tables, as the migrations make them, and the types in which the drivers give their values (`values.ts`).
 *
 * Columns keep the names that they have in the database, so that a builder, a `sql` template, psql and docs/audit-format.md
 * all use the same ones. Kysely's CamelCasePlugin would rename them, at the price of a walk over each statement and over each
 * row that is read; a statement names what it selects instead (`"agent_id as agentId"`), and its rows need no mapping.
 */

declare const stored: unique symbol;

/**
 * A `timestamptz`. It is read as microseconds; the brand keeps a plain number, which Postgres would refuse, from being written
 * or compared: `at` makes the SQL for one.
 */
export type StoredTime = Micros & { readonly [stored]: "timestamptz" };

/** An `interval`, read as microseconds. `lasting` makes the SQL for one. */
export type StoredInterval = Micros & { readonly [stored]: "interval" };

export interface Schema {
  agents: {
    agent_id: string;
    state: AgentState;
    created_at: Generated<StoredTime>;
    changed: number;
  };
  agent_keys: {
    key_id: string;
    agent_id: string;
    secret_hash: Uint8Array;
    created_at: Generated<StoredTime>;
    revoked_at: StoredTime | null;
    changed: number;
    place: Generated<number>;
  };
  directory_version: {
    singleton: Generated<boolean>;
    version: number;
  };
  service_keys: {
    name: string;
    fingerprint: string;
    registered_at: Generated<StoredTime>;
  };
  idempotency_claims: {
    agent_id: string;
    idempotency_key: string;
    variant: Uint8Array;
    request_digest: Uint8Array;
    decision_id: string;
    recorded_at: StoredTime;
    expires_at: StoredTime;
  };
  audit_decisions: {
    decision_id: string;
    recorded_at: StoredTime;
    source: Source;
    agent_id: string;
    credential_id: string | null;
    tool: string;
    idempotency_key: string;
    decision: Decision;
    reason: Reason;
    message: string;
    rule_id: string | null;
    policy_version: string | null;
    request_digest: Uint8Array | null;
    payload_digest: Uint8Array | null;
    decided_at: StoredTime;
    linked_decision_id: string | null;
    review_id: string | null;
    grant_id: string | null;
    guard_journal_id: string | null;
    guard_sequence: number | null;
    guard_record_hash: Uint8Array | null;
    trace_id: string | null;
    detail: string | null;
    principal: string | null;
    session_id: string | null;
    hash: Uint8Array;
    inserted_at: Generated<StoredTime>;
  };
  audit_payloads: {
    decision_id: string;
    recorded_at: StoredTime;
    salt: Uint8Array;
    canonical: string;
  };
  audit_events: {
    event_id: string;
    recorded_at: StoredTime;
    kind: string;
    actor: string;
    subject: string | null;
    decision_id: string | null;
    /** Canonical JSON. */
    detail: string;
    hash: Uint8Array;
    inserted_at: Generated<StoredTime>;
  };
  audit_log: {
    singleton: Generated<boolean>;
    log_id: string;
  };
  audit_epochs: {
    epoch: number;
    opened_at: Generated<StoredTime>;
    opened_by: string;
    reason: string;
    lost_note: string | null;
    acknowledgement: string | null;
  };
  audit_seals: {
    row_id: string;
    recorded_at: StoredTime;
    stream: number;
    epoch: number;
    seq: number;
    leaf_hash: Uint8Array;
  };
  audit_nodes: {
    epoch: number;
    level: number;
    idx: number;
    hash: Uint8Array;
  };
  audit_checkpoints: {
    epoch: number;
    size: number;
    previous_size: number;
    root: Uint8Array;
    peaks: Uint8Array;
    signed_note: string;
    key_id: string;
    created_at: Generated<StoredTime>;
    settled_at: StoredTime;
  };
  audit_runs: {
    run_id: string;
    scope: string;
    started_by: string;
    started_at: StoredTime;
    updated_at: StoredTime;
    finished_at: StoredTime | null;
    state: VerificationRun["state"];
    /** JSON. */
    progress: string;
  };
  audit_retired: {
    /** `YYYY-MM-DD`, the month's first day. */
    month: string;
    decisions: number;
    events: number;
    export_sha256: string;
    export_event_id: string;
    event_id: string;
    recorded_at: StoredTime;
    event_hash: Uint8Array;
  };
  guard_records: {
    agent_id: string;
    record_hash: Uint8Array;
    journal_id: string;
    sequence: number;
    decision_id: string;
    recorded_at: StoredTime;
  };
  guard_circuits: {
    agent_id: string;
    journal_id: string;
    /** JSON of the protobuf message. */
    report: string;
    reported_at: Generated<StoredTime>;
  };
  circuit_orders: {
    agent_id: string;
    epoch: number;
    grant_id: string | null;
    /** JSON. */
    tools: string | null;
    operator: string;
    reason: string;
    issued_at: StoredTime;
    expires_at: StoredTime;
    token: string;
  };
  circuit_commands: {
    agent_id: string;
    epoch: number;
    kind: CircuitCommand["kind"];
    operator: string;
    reason: string;
    issued_at: StoredTime;
    expires_at: StoredTime | null;
  };
  policy_bundles: {
    version: string;
    /** JSON. */
    files: string;
    first_seen: Generated<StoredTime>;
  };
  operators: {
    name: string;
    role: Role;
    password_hash: string;
    totp_secret: Uint8Array | null;
    totp_last_step: number | null;
    generation: Generated<number>;
    created_at: Generated<StoredTime>;
    removed_at: StoredTime | null;
  };
  operator_sessions: {
    token_hash: Uint8Array;
    name: string;
    generation: number;
    /** JSON. */
    methods: string;
    signed_in_at: Generated<StoredTime>;
    used_at: Generated<StoredTime>;
  };
  webhook_messages: {
    sequence: Generated<number>;
    type: string;
    subject: string;
    source: "event" | "decision";
    source_id: string;
    recorded_at: StoredTime;
    created_at: Generated<StoredTime>;
    state: Generated<"pending" | "dead">;
    attempts: Generated<number>;
    due_at: Generated<StoredTime>;
    problem: string | null;
  };
  reviews: {
    review_id: string;
    decision_id: string;
    recorded_at: StoredTime;
    agent_id: string;
    tool: string;
    idempotency_key: string;
    rule_id: string | null;
    policy_version: string;
    request_digest: Uint8Array;
    payload_digest: Uint8Array;
    approvers: number;
    approval_for: StoredInterval;
    opened_at: StoredTime;
    expires_at: StoredTime;
    state: Generated<ReviewState>;
    version: Generated<number>;
    resolved_at: StoredTime | null;
    resolution_id: string | null;
    approval_expires_at: StoredTime | null;
    first_allowed_at: StoredTime | null;
  };
  review_answers: {
    review_id: string;
    operator: string;
    answer: ReviewAnswer["answer"];
    comment: string;
    answered_at: StoredTime;
  };
  review_withdrawals: {
    review_id: string;
    operator: string;
    comment: string;
    withdrawn_at: StoredTime;
  };
  executions: {
    decision_id: string;
    execution_id: string;
    recorded_at: StoredTime;
    agent_id: string;
    tool: string;
    idempotency_key: string;
    nonce: Uint8Array;
    started_at: StoredTime;
    started_by: string;
    report_due_at: StoredTime;
    source: Generated<Source>;
  };
  execution_outcomes: {
    decision_id: string;
    event_id: string;
    outcome: Outcome;
    ended_at: StoredTime;
    error_code: string | null;
    duration_ms: number | null;
    summary: string | null;
    reported_by: string | null;
    resolved_by: string | null;
    comment: string | null;
  };
  execution_reports_due: {
    decision_id: string;
    report_due_at: StoredTime;
    noted_at: StoredTime | null;
  };
}

import { hashDecision } from "../audit/row/hash.ts";
import { decisionRow } from "../audit/row/record.ts";
import type { AgentState, AuthenticatedAgent } from "../authn/directory.ts";
import type { KeyLink } from "../core/key-chain.ts";
import type { StoredBypassOrder } from "../core/bypass-order.ts";
import { MAX_BYPASS_MICROS } from "../core/grant.ts";
import { canonicalJson } from "../core/canonical-json.ts";
import type { Micros } from "../core/clock.ts";
import { judge } from "../core/decision.ts";
import { failpoint } from "../core/failpoint.ts";
import { Fault } from "../core/fault.ts";
import { hex, isExecution, readEntry, type StoredDecision, type StoredRecord } from "../core/journal-format.ts";
import { UUID, uuidV7 } from "../core/ids.ts";
import type { Call } from "./call.ts";
import { type FramePorts, frameUnary } from "./frame.ts";
import type { GuardEntry, Known } from "../store/guard-records.ts";
import { type ExecutionClaim, recordExecutions, type UploadExecutionsPorts } from "./upload-executions.ts";

/** At most this many records come in one upload. */
export const MAX_UPLOAD = 500;

/** A record as it was uploaded. Nothing in it has been verified. */
export interface UnverifiedRecord {
  readonly sequence: number;
  readonly previousHash: Uint8Array;
  readonly hash: Uint8Array;
  readonly body: Uint8Array;
}

/** A SyncGuardRequest as decoded. */
export interface UnverifiedSync {
  readonly journalId: string;
  readonly records: readonly UnverifiedRecord[];
  /** The guard's circuit as it reports it, as JSON; null if it reports none. */
  readonly circuit: string | null;
  /** The guard ends, and with it its circuit. */
  readonly closing: boolean;
}

export interface SyncResult {
  readonly recordedHashes: readonly Uint8Array[];
  readonly refused: readonly { readonly hash: Uint8Array; readonly problem: string }[];
  /** Signed orders for the agent that have not expired. */
  readonly orders: readonly string[];
  readonly grantKeys: readonly KeyLink[];
  /** An operator's last order about the circuit, or null. */
  readonly circuitCommand: { readonly epoch: number; readonly open: boolean; readonly expiresAt: Micros | null } | null;
  readonly serviceTime: Micros;
}

/** Rejects with a Fault alone. */
export type SyncGuardHandler = (call: Call<UnverifiedSync>) => Promise<SyncResult>;

export interface SyncPorts extends FramePorts, UploadExecutionsPorts {
  /** @throws Fault RATE_LIMITED */
  readonly admit: (agentId: string, records: number) => void;
  readonly agents: FramePorts["agents"] & {
    confirmedStateOf(agentId: string): Promise<AgentState>;
  };
  readonly trail: {
    known(
      agentId: string,
      journalId: string,
      records: readonly { hash: Uint8Array; sequence: number; decisionId: string }[],
    ): Promise<Known>;
    /** Writes the entries whose record hash is not recorded yet, in one transaction. */
    recordGuardBatch(entries: readonly GuardEntry[]): Promise<void>;
  };
  readonly circuits: {
    report(agentId: string, journalId: string, report: string): Promise<void>;
    forget(agentId: string, journalId: string): Promise<void>;
  };
  readonly orders: { newest(agentId: string): Promise<StoredBypassOrder | null> };
  readonly commands: {
    newest(agentId: string): Promise<{
      readonly epoch: number;
      readonly kind: "force_open" | "reset";
      readonly expiresAt: Micros | null;
    } | null>;
  };
  /** Revokes a grant that outlived its agent's freeze, or whatever a guard may hold that the database does not know. */
  readonly revoke: (agentId: string, reason: string) => Promise<unknown>;
  /** Orders that were issued before this are void: the database was rolled back, and may not know of later ones. 0: none are. */
  readonly ordersVoidBefore: () => Micros;
  readonly grantKeys: () => readonly KeyLink[];
}

/**
 * SyncGuard: `authenticate → read → admit → verify records → record → report → orders`. A frozen agent may still sync: what it did
 * belongs in the audit log.
 */
export function createSyncGuard(ports: SyncPorts): SyncGuardHandler {
  // What a call costs is known only after its body is read.
  return frameUnary(ports, { method: "SyncGuard", admit: () => {}, handle: syncGuard });

  async function syncGuard(call: Call<UnverifiedSync>, { agentId }: AuthenticatedAgent): Promise<SyncResult> {
    const sync = call.readBody();
    ports.admit(agentId, sync.records.length);
    checkSync(sync);
    const verified = verifyRecords(sync, agentId);
    const foreign = await recordClaims(ports, sync, agentId, verified.claims);
    const claims = verified.claims.filter(({ hash }) => !foreign.some((refused) => refused.hash === hash));
    const refused = [...verified.refused, ...foreign];
    if (sync.closing) await ports.circuits.forget(agentId, sync.journalId);
    else if (sync.circuit !== null) await ports.circuits.report(agentId, sync.journalId, sync.circuit);
    const command = await ports.commands.newest(agentId);
    return {
      recordedHashes: claims.map(({ hash }) => hash),
      refused,
      orders: await ordersFor(ports, agentId),
      grantKeys: ports.grantKeys(),
      circuitCommand: command && { ...command, open: command.kind === "force_open" },
      serviceTime: ports.now(),
    };
  }
}

interface VerifiedClaim<Record extends StoredRecord = StoredRecord> {
  readonly record: Record;
  readonly hash: Uint8Array;
}

interface Refused {
  readonly hash: Uint8Array;
  readonly problem: string;
}

function checkSync({ journalId, records }: UnverifiedSync): void {
  if (!UUID.test(journalId)) throw new Fault("FIELD_INVALID", "journal_id must be a UUID.", { field: "journal_id" });
  if (records.length > MAX_UPLOAD) {
    throw new Fault("FIELD_INVALID", `records must be at most ${MAX_UPLOAD}, are ${records.length}.`, {
      field: "records",
    });
  }
}

/** Each record stands alone: one that is broken is refused for good, and keeps nobody else out. */
function verifyRecords(sync: UnverifiedSync, agentId: string): { claims: VerifiedClaim[]; refused: Refused[] } {
  const claims = new Map<string, VerifiedClaim>();
  const refused: Refused[] = [];
  for (const unverified of sync.records) {
    const record = readEntry({ ...unverified, journalId: sync.journalId }, agentId);
    if ("problem" in record) refused.push({ hash: unverified.hash, problem: record.problem });
    else claims.set(hex(unverified.hash), { record, hash: unverified.hash });
  }
  return { claims: [...claims.values()], refused };
}

/** @returns those that will never be accepted */
async function recordClaims(
  ports: SyncPorts,
  sync: UnverifiedSync,
  agentId: string,
  claims: readonly VerifiedClaim[],
): Promise<Refused[]> {
  if (claims.length === 0) return [];
  const wanted = claims.map(({ record, hash }) => ({ hash, sequence: record.sequence, decisionId: record.decisionId }));
  const known = await ports.trail.known(agentId, sync.journalId, wanted);
  const fresh = claims.filter(({ hash }) => !known.hashes.has(hex(hash)));
  if (fresh.length === 0) return [];
  const flags = flagsOf(fresh, known);
  const decisions = fresh.filter((claim): claim is VerifiedClaim<StoredDecision> => !isExecution(claim.record));
  // INVARIANT: a record is acknowledged only after its row is committed. A crash here means that it is sent again, and is
  // known then by its hash.
  failpoint("before-sync-commit");
  if (decisions.length > 0)
    await ports.trail.recordGuardBatch(decisions.map((claim) => entryOf(ports, claim, known, decisions, flags(claim))));
  failpoint("after-sync-commit");
  const executions = fresh.flatMap((claim): ExecutionClaim[] =>
    isExecution(claim.record) ? [{ record: claim.record, hash: claim.hash, flags: flags(claim) }] : [],
  );
  return await recordExecutions(ports, agentId, executions);
}

/** What is suspicious about a record's place in its journal. */
function flagsOf(batch: readonly VerifiedClaim[], { sequences }: Known): (claim: VerifiedClaim) => string[] {
  return ({ record, hash }) => {
    const others = batch.filter((other) => other.hash !== hash);
    const isForked =
      sequences.has(record.sequence) || others.some((other) => other.record.sequence === record.sequence);
    return isForked ? ["sequence_used_twice"] : [];
  };
}

/** A guard's record as a row. What is suspicious about it is kept and flagged, not refused: it is evidence. */
function entryOf(
  ports: SyncPorts,
  { record, hash }: VerifiedClaim<StoredDecision>,
  known: Known,
  batch: readonly VerifiedClaim<StoredDecision>[],
  suspicions: readonly string[],
): GuardEntry {
  const at = ports.now();
  const others = batch.filter((other) => other.hash !== hash);
  const taken =
    known.decisionIds.has(record.decisionId) || others.some((other) => other.record.decisionId === record.decisionId);
  const flags = [...suspicions, ...(taken ? ["decision_id_used_twice"] : [])];
  const row = decisionRow({
    ...judge(record.reason, record.message),
    decisionId: taken ? uuidV7(at, ports.random) : record.decisionId,
    recordedAt: at,
    decidedAt: record.decidedAt,
    source: "guard",
    agentId: record.agentId,
    tool: record.tool,
    idempotencyKey: record.idempotencyKey,
    grantId: record.kind === "bypass_allow" ? record.grantId : null,
    guardJournalId: record.journalId,
    guardSequence: record.sequence,
    guardRecordHash: hash,
    detail: canonicalJson(
      {
        requestDigest: record.requestDigest,
        coalesced: record.coalesced,
        ...(record.attempts === undefined ? {} : { attempts: record.attempts }),
        ...(record.errors === undefined ? {} : { errors: [...record.errors] }),
        ...(taken ? { claimedDecisionId: record.decisionId } : {}),
        ...(flags.length === 0 ? {} : { flags }),
      },
      "detail",
      32,
    ),
  });
  return { row, hash: hashDecision(row) };
}

/** The agent's newest order. What must not be in force any more is revoked first. */
async function ordersFor(ports: SyncPorts, agentId: string): Promise<string[]> {
  let newest = await ports.orders.newest(agentId);
  const why = await whyToRevoke(ports, agentId, newest);
  if (why !== null) {
    await ports.revoke(agentId, why);
    newest = await ports.orders.newest(agentId);
  }
  return newest !== null && newest.expiresAt > ports.now() ? [newest.token] : [];
}

async function whyToRevoke(
  ports: SyncPorts,
  agentId: string,
  newest: StoredBypassOrder | null,
): Promise<string | null> {
  const voidBefore = ports.ordersVoidBefore();
  // No order of before then is in force a day later.
  if ((newest?.issuedAt ?? 0) < voidBefore && ports.now() < voidBefore + MAX_BYPASS_MICROS)
    return "the database was rolled back: the guard may hold a grant that it does not know";
  const isGrant = newest !== null && newest.grantId !== null && newest.expiresAt > ports.now();
  const state = await ports.agents.confirmedStateOf(agentId);
  // It outlived its agent's freeze: a crash in between.
  return isGrant && state !== "active" ? `the agent is ${state}` : null;
}

import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { checkReason, checkUuid, invalid } from "./checks.ts";
import type { SqlDecisionReader } from "../store/decisions.ts";
import type { SqlPayloadStore } from "../store/payloads.ts";
import type { SqlEventStore } from "../store/events.ts";

/** An export, as reported by the command that wrote it. */
export interface WrittenExport {
  /** Null for all from the beginning. */
  readonly from: Micros | null;
  readonly to: Micros;
  /** Without directories; empty if it went to a pipe. */
  readonly fileName: string;
  /** Of the file as it was written. */
  readonly sha256: Uint8Array;
  readonly fileBytes: number;
  readonly decisions: number;
  readonly events: number;
  readonly payloads: number;
}

export interface RetentionPorts {
  readonly decisions: SqlDecisionReader;
  readonly payloads: SqlPayloadStore;
  readonly events: SqlEventStore;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

const MAX_FILE_NAME = 255;

/** What operators record of what leaves the trail. */
export class RetentionOperations {
  readonly #ports: RetentionPorts;

  constructor(ports: RetentionPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID */
  async recordExport(written: WrittenExport, actor: string): Promise<void> {
    if (written.from !== null && written.from >= written.to) throw invalid("from_us", "must be before to_us");
    if (written.sha256.length !== 32) throw invalid("sha256", "must be 32 bytes");
    const isName =
      written.fileName.length <= MAX_FILE_NAME && written.fileName.isWellFormed() && !written.fileName.includes("\0");
    if (!isName) throw invalid("file_name", `must be a name of at most ${MAX_FILE_NAME} characters`);
    for (const field of ["fileBytes", "decisions", "events", "payloads"] as const)
      if (!Number.isSafeInteger(written[field]) || written[field] < 0) throw invalid(field, "must be a count");
    const { from, to, sha256, ...counts } = written;
    const detail = { fromUs: from, toUs: to, sha256: Buffer.from(sha256).toString("hex"), ...counts };
    await this.#ports.events.append(this.#event({ kind: "audit.exported", actor, detail }));
  }

  /** @returns false if nothing was kept, and nothing is recorded then. @throws Fault FIELD_INVALID, DECISION_UNKNOWN */
  async erasePayload(unverifiedId: string, reason: string, actor: string): Promise<boolean> {
    const decisionId = checkUuid("decision_id", unverifiedId);
    const checked = checkReason(reason);
    const { decisions, payloads } = this.#ports;
    const stored = await decisions.find(decisionId);
    if (stored === null)
      throw new Fault("DECISION_UNKNOWN", `No decision ${decisionId} is in the database (or its month was retired).`);
    const facts = {
      kind: "payload.erased",
      actor,
      subject: stored.row.agentId,
      decisionId,
      detail: { reason: checked },
    };
    return await payloads.erase(decisionId, this.#event(facts));
  }

  #event(facts: Parameters<typeof makeEvent>[0]): HashedEvent {
    return makeEvent(facts, this.#ports.now(), this.#ports.random);
  }
}

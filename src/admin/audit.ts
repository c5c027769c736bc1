import type { Acknowledgement } from "../audit/seal/acknowledgement.ts";
import { type HashedEvent, makeEvent } from "../audit/row/event.ts";
import type { Rollback } from "../audit/seal/keeper.ts";
import type { Micros } from "../core/clock.ts";
import { Fault } from "../core/fault.ts";
import type { RandomPool } from "../core/ids.ts";
import { checkReason, invalid } from "./checks.ts";
import type { SqlSealStore } from "../store/seals.ts";
import type { SqlEventStore } from "../store/events.ts";

/** Where the trail's sealing stands. */
export interface SealingStatus {
  readonly epoch: number;
  /** Rows under the newest checkpoint. */
  readonly size: number;
  /** The newest checkpoint, signed; null before the first. */
  readonly note: string | null;
  /** Rows without a seal among the newest {@link COUNTED} of each table. */
  readonly unsealed: number;
  readonly problems: readonly string[];
  readonly rollback: Rollback | null;
}

/** Looking further would cost more than it shows: a million rows that wait for their seals take seconds to count. */
const COUNTED = 10_000;

export interface AuditPorts {
  readonly keeper: {
    turn(): Promise<number>;
    check(): Promise<void>;
    readonly problems: string[];
    readonly rollback: Rollback | null;
    acknowledgement(): Promise<{ readonly of: Acknowledgement; readonly note: string } | null>;
  };
  readonly seals: SqlSealStore;
  /** Takes away again what a rollback has given back. */
  readonly repair: () => Promise<void>;
  /** Adds a key to the keys directory, signed by the one before. @returns the new one's verifier key */
  readonly rotateKey: () => Promise<string>;
  readonly events: SqlEventStore;
  readonly random: RandomPool;
  readonly now: () => Micros;
}

/** What operators do about the trail's seals. */
export class AuditOperations {
  readonly #ports: AuditPorts;

  constructor(ports: AuditPorts) {
    this.#ports = ports;
  }

  /** Seals what is committed now. @returns how many rows, and the newest checkpoint. @throws Fault AUDIT_ROLLED_BACK */
  async seal(): Promise<{ sealed: number; note: string | null }> {
    const { keeper, seals } = this.#ports;
    const sealed = await keeper.turn();
    if (keeper.rollback !== null) throw new Fault("AUDIT_ROLLED_BACK", keeper.problems[0] ?? "");
    return { sealed, note: (await seals.state()).note };
  }

  async status(): Promise<SealingStatus> {
    const { keeper, seals } = this.#ports;
    await keeper.check();
    const { epoch, size, note, settledAt } = await seals.state();
    const unsealed = await seals.countUnsealed(settledAt, COUNTED);
    return { epoch, size, note, unsealed, problems: keeper.problems, rollback: keeper.rollback };
  }

  /**
   * Takes note that the database was rolled back, and opens a new epoch in which sealing goes on. The checkpoint that the
   * database does not continue stays on record. The service leaves recovery by it.
   *
   * @param confirmed whether the caller has looked at what the rollback has lost
   * @returns the new epoch
   * @throws Fault FIELD_INVALID, or AUDIT_NOT_ROLLED_BACK
   */
  async acknowledgeRollback(reason: string, confirmed: boolean, actor: string): Promise<number> {
    const checked = checkReason(reason);
    const { keeper, seals, repair } = this.#ports;
    await keeper.turn();
    const acknowledged = await keeper.acknowledgement();
    const { rollback } = keeper;
    if (rollback === null || acknowledged === null)
      throw new Fault(
        "AUDIT_NOT_ROLLED_BACK",
        "The database continues what is published: there is nothing to acknowledge.",
      );
    if (!confirmed)
      throw invalid(
        "confirmed",
        "must be true. It lets agents be allowed again, so check what GetRecovery lists first",
      );
    // INVARIANT: what is known to have been taken away is taken away before anything is allowed.
    await repair();
    const { outside, inside } = rollback;
    const { epoch: number, kept } = acknowledged.of;
    const detail = {
      reason: checked,
      epoch: number,
      inside: { ...inside },
      outside: { epoch: outside.epoch, size: outside.size },
      kept: { ...kept },
    };
    const event = this.#event("audit.rollback_acknowledged", actor, detail);
    const epoch = { number, by: actor, reason: checked, lostNote: outside.note, acknowledgement: acknowledged.note };
    await seals.openEpoch(epoch, event);
    await keeper.turn();
    return number;
  }

  /** @returns the verifier key that signs from now on */
  async rotateKey(actor: string): Promise<string> {
    const vkey = await this.#ports.rotateKey();
    await this.#ports.events.append(this.#event("audit.key_rotated", actor, { vkey }));
    return vkey;
  }

  #event(kind: string, actor: string, detail: Parameters<typeof makeEvent>[0]["detail"] & object): HashedEvent {
    return makeEvent({ kind, actor, detail }, this.#ports.now(), this.#ports.random);
  }
}

import { CheckpointError, epochOf, parseCheckpoint } from "../audit/log/checkpoint.ts";
import { consistencyProof, inclusionProof } from "../audit/log/merkle.ts";
import { NoteError, parseNote } from "../audit/log/note.ts";
import type { ConsistencyProof, DecisionProof } from "../audit/proof/proof.ts";
import { Fault } from "../core/fault.ts";
import { checkUuid, invalid } from "./checks.ts";
import type { LeafPlace, SqlTreeReader } from "../store/proofs.ts";
import type { SqlDecisionReader } from "../store/decisions.ts";

export interface StoredCheckpoint {
  readonly epoch: number;
  readonly size: number;
  /** Signed. */
  readonly note: string;
}

export interface ProofPorts {
  readonly decisions: SqlDecisionReader;
  readonly tree: SqlTreeReader;
  /** The log's public keys as they are now. */
  readonly verifierKeys: () => Promise<readonly string[]>;
}

const SIZE = /^(0|[1-9]\d{0,15})$/;

/** Proofs out of the trail for those who do not trust it. Whether they hold is for those to find, by docs/proof-format.md. */
export class ProofOperations {
  readonly #ports: ProofPorts;

  constructor(ports: ProofPorts) {
    this.#ports = ports;
  }

  /** @throws Fault FIELD_INVALID, DECISION_UNKNOWN, DECISION_NOT_SEALED, DECISION_RETIRED */
  async proveDecision(unverifiedId: string, includePayload: boolean): Promise<DecisionProof> {
    const decisionId = checkUuid("decision_id", unverifiedId);
    const { decisions, tree, verifierKeys } = this.#ports;
    const stored = await decisions.find(decisionId);
    const place = await tree.placeOf(decisionId);
    if (stored === null) throw missing(decisionId, place);
    const checkpoint = place === null ? null : await tree.newestCheckpoint(place.epoch);
    if (place === null || checkpoint === null) throw notSealed(decisionId);
    const { epoch, seq } = place;
    return {
      row: stored.row,
      hash: stored.storedHash,
      payload: includePayload ? stored.payload : null,
      epoch,
      leafIndex: seq,
      inclusionPath: await inclusionProof(seq, checkpoint.size, tree.nodes(epoch)),
      checkpoint: checkpoint.note,
      verifierKeys: await verifierKeys(),
    };
  }

  /**
   * @param first a signed note, or the size of a checkpoint of the newest epoch
   * @param second likewise; empty for the newest
   * @throws Fault FIELD_INVALID, CHECKPOINT_UNKNOWN
   */
  async proveConsistency(first: string, second: string): Promise<ConsistencyProof> {
    const { tree, verifierKeys } = this.#ports;
    const earlier = await this.#checkpoint("first", first, null);
    const later = await this.#checkpoint("second", second, earlier.epoch);
    if (earlier.epoch !== later.epoch)
      throw invalid(
        "second",
        `is of epoch ${later.epoch}, and first of epoch ${earlier.epoch}: compare checkpoints of one epoch`,
      );
    if (earlier.size > later.size)
      throw invalid("second", `has ${later.size} leaves, fewer than first, ${earlier.size}`);
    const stored = await tree.newestCheckpoint(earlier.epoch);
    if (stored === null || later.size > stored.size)
      throw new Fault("CHECKPOINT_UNKNOWN", `The trail's epoch ${later.epoch} has no ${later.size} leaves.`);
    return {
      first: earlier.note,
      second: later.note,
      path: await consistencyProof(earlier.size, later.size, tree.nodes(earlier.epoch)),
      verifierKeys: await verifierKeys(),
    };
  }

  /** @param epoch of the newest checkpoint, if `given` is empty; null for the newest epoch */
  async #checkpoint(field: string, given: string, epoch: number | null): Promise<StoredCheckpoint> {
    const { tree } = this.#ports;
    if (given !== "" && !SIZE.test(given)) return readUnverified(field, given);
    const newest = await tree.newestCheckpoint(epoch);
    if (newest === null) throw new Fault("CHECKPOINT_UNKNOWN", "Nothing is sealed yet: there is no checkpoint.");
    if (given === "" && field === "second") return newest;
    const found = SIZE.test(given) ? await tree.checkpointAt(newest.epoch, Number(given)) : null;
    if (found !== null) return found;
    throw new Fault(
      "CHECKPOINT_UNKNOWN",
      `There is no checkpoint of ${given || "no"} leaves in epoch ${newest.epoch}.`,
    );
  }
}

/** The unverified text of a note: enough to find its place, not to trust it. */
function readUnverified(field: string, note: string): StoredCheckpoint {
  try {
    const checkpoint = parseCheckpoint(parseNote(note).text);
    return { epoch: epochOf(checkpoint), size: checkpoint.size, note };
  } catch (error) {
    if (error instanceof NoteError || error instanceof CheckpointError)
      throw invalid(field, `is neither a number of leaves nor a signed checkpoint (${error.message})`);
    throw error;
  }
}

function missing(decisionId: string, place: LeafPlace | null): Fault {
  if (place === null) return new Fault("DECISION_UNKNOWN", `No decision ${decisionId} is recorded.`);
  return new Fault(
    "DECISION_RETIRED",
    `The decision ${decisionId} is leaf ${place.seq} of epoch ${place.epoch}, but its row is not in the database: ` +
      "look for it in the export of its month.",
  );
}

function notSealed(decisionId: string): Fault {
  return new Fault(
    "DECISION_NOT_SEALED",
    `The decision ${decisionId} is recorded but has no seal yet: wait some seconds, or run \`datacrawl audit seal\`.`,
  );
}

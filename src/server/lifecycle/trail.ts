import { makeEvent } from "../../audit/row/event.ts";
import { type Rollback, TrailKeeper } from "../../audit/seal/keeper.ts";
import { AUDIT_KEYS } from "../../keys/key-uses.ts";
import { CheckpointDirectory } from "../../audit/seal/published.ts";
import { ChangeDirectory } from "../../audit/seal/change-directory.ts";
import { ChangePublisher } from "../../audit/seal/change-publisher.ts";
import { Sealer } from "../../audit/seal/seal.ts";
import type { Micros } from "../../core/clock.ts";
import type { DataConfig } from "../../config.ts";
import { RandomPool } from "../../core/ids.ts";
import { openSigningKeys, type SigningKeys } from "../../keys/key-files.ts";
import type { SqlSealStore } from "../../store/seals.ts";
import type { Repositories } from "../repositories.ts";

/** The sealing of a store's trail. */
export interface Trail {
  /** Which log it is: the first line of its checkpoints. */
  readonly origin: string;
  readonly keeper: TrailKeeper;
  readonly seals: SqlSealStore;
  /** Where checkpoints are kept outside the database; null if nowhere. */
  readonly directory: CheckpointDirectory | null;
  readonly keysDir: string;
  /** Within how many days incremental verification reads everything again. */
  readonly reverifyDays: number;
  /** As they are on disk now. */
  readonly keys: () => Promise<SigningKeys>;
}

export async function openTrail(config: DataConfig, repositories: Repositories, now: () => Micros): Promise<Trail> {
  const { accessChanges, events, seals } = repositories;
  const random = new RandomPool();
  const origin = await seals.origin();
  const keys = (): Promise<SigningKeys> => openSigningKeys(config.keysDir, AUDIT_KEYS);
  const directory = config.checkpointDir === null ? null : new CheckpointDirectory(config.checkpointDir);
  const sealing = { store: seals, origin, keys };
  const onRollback = async (rollback: Rollback): Promise<void> => {
    const event = { kind: "audit.rollback_detected", actor: "service", detail: rollbackDetail(rollback) };
    await events.append(makeEvent(event, now(), random));
  };
  const changes =
    config.checkpointDir === null
      ? null
      : new ChangePublisher({
          directory: new ChangeDirectory(config.checkpointDir),
          store: accessChanges,
          origin,
          keys,
        });
  const keeper = new TrailKeeper({ ...sealing, sealer: new Sealer(sealing), directory, changes, onRollback });
  return { origin, keeper, seals, directory, keysDir: config.keysDir, reverifyDays: config.reverifyDays, keys };
}

function rollbackDetail({ kind, outside, inside }: Rollback) {
  return { kind, inside: { ...inside }, outside: { epoch: outside.epoch, size: outside.size, note: outside.note } };
}

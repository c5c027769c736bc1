import type { JsonObject } from "../../core/json.ts";
import { canonicalJson } from "../../core/canonical-json.ts";
import type { Micros } from "../../core/clock.ts";
import { type RandomPool, uuidV7 } from "../../core/ids.ts";
import { hashEvent } from "./hash.ts";
import type { EventRow } from "./record.ts";

export interface EventFacts {
  /** What happened, such as `agent.created`. */
  readonly kind: string;
  /** Who did it: `socket`, `operator:<name>`, `agent:<id>` or `service`. */
  readonly actor: string;
  /** What it was done to, such as an agent's id. */
  readonly subject?: string;
  readonly decisionId?: string;
  readonly detail?: JsonObject;
}

/** An event as a row of the trail, with its hash. */
export interface HashedEvent {
  readonly row: EventRow;
  readonly hash: Uint8Array;
}

/** Makes the row of an event that happened at `at`. */
export function makeEvent(facts: EventFacts, at: Micros, random: RandomPool): HashedEvent {
  const row: EventRow = {
    eventId: uuidV7(at, random),
    recordedAt: at,
    kind: facts.kind,
    actor: facts.actor,
    subject: facts.subject ?? null,
    decisionId: facts.decisionId ?? null,
    detail: canonicalJson(facts.detail ?? {}, "detail", 32),
  };
  return { row, hash: hashEvent(row) };
}

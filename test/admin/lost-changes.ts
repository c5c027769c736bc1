import type { AccessChange } from "../../src/audit/seal/change-list.ts";

/** A published change. Its id is its kind and subject. */
export function lost(kind: string, subject: string | null, detail: object = {}, actor = "socket"): AccessChange {
  const text = JSON.stringify(detail);
  return { eventId: `${kind} ${subject}`, epoch: 1, seq: 1, recordedAt: 100, kind, actor, subject, detail: text };
}

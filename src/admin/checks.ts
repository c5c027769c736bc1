import { Fault } from "../fault.ts";

const REASON_CHARACTERS = 500;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** An operator's reason, trimmed. @throws Fault FIELD_INVALID */
export function checkReason(reason: string, field = "reason"): string {
  const trimmed = reason.trim();
  if (trimmed === "") throw invalid(field, "must say why");
  if (trimmed.length > REASON_CHARACTERS) throw invalid(field, `must be at most ${REASON_CHARACTERS} characters`);
  if (trimmed.includes("\0") || !trimmed.isWellFormed()) throw invalid(field, "must be text without NUL");
  return trimmed;
}

/** In lower case. @throws Fault FIELD_INVALID */
export function checkUuid(field: string, text: string): string {
  if (UUID.test(text)) return text.toLowerCase();
  throw invalid(field, "must be a UUID");
}

export function invalid(field: string, problem: string): Fault {
  return new Fault("FIELD_INVALID", `${field} ${problem}.`, { field });
}

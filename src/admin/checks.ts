import { Fault } from "../fault.ts";

const REASON_CHARACTERS = 500;

/** An operator's reason, trimmed. @throws Fault FIELD_INVALID */
export function checkReason(reason: string): string {
  const trimmed = reason.trim();
  if (trimmed === "") throw invalid("reason", "must say why");
  if (trimmed.length > REASON_CHARACTERS) throw invalid("reason", `must be at most ${REASON_CHARACTERS} characters`);
  if (trimmed.includes("\0") || !trimmed.isWellFormed()) throw invalid("reason", "must be text without NUL");
  return trimmed;
}

export function invalid(field: string, problem: string): Fault {
  return new Fault("FIELD_INVALID", `${field} ${problem}.`, { field });
}

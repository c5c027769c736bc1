import { AGENT_ID } from "../core/names.ts";
import { Fault } from "../core/fault.ts";
import { UUID } from "../core/ids.ts";

const REASON_CHARACTERS = 500;

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
  const lowerCase = text.toLowerCase();
  if (UUID.test(lowerCase)) return lowerCase;
  throw invalid(field, "must be a UUID");
}

/** Whose rows a list is to have; null for every agent's. @throws Fault FIELD_INVALID if no agent can be called so */
export function checkAgentFilter(agentId: string | null, field = "agent_id"): void {
  if (agentId !== null && !AGENT_ID.test(agentId))
    throw invalid(field, "must be an agent's id: 1 to 63 of a-z, 0-9, dot and hyphen");
}

export function invalid(field: string, problem: string): Fault {
  return new Fault("FIELD_INVALID", `${field} ${problem}.`, { field });
}

import type { JsonObject } from "./json.ts";
import { canonicalJson, NotCanonicalError } from "./canonical-json.ts";
import { Fault, type Path, pathText } from "./fault.ts";

/** Limits of the contract. Bytes are of UTF-8. */
export const LIMITS = { nameBytes: 256, payloadBytes: 256 * 1024, payloadDepth: 32, nonceBytes: 16 } as const;

/**
 * A request's fields as decoded: well-formed UTF-8 and JSON values (finite numbers, no repeated names), and no more than
 * that. {@link parseRequest} checks sizes and limits.
 */
export interface UnverifiedRequest {
  readonly tool: string;
  readonly payload: JsonObject;
  readonly idempotencyKey: string;
  /** Empty if absent. */
  readonly agentId: string;
  /** Empty if absent. */
  readonly nonce: Uint8Array;
  /** Null if absent. */
  readonly principal: string | null;
  /** Null if absent. */
  readonly sessionId: string | null;
}

/** A request within the contract's limits, asked by the authenticated agent. */
export interface Question {
  readonly agentId: string;
  readonly tool: string;
  readonly payload: JsonObject;
  /** The payload as canonical JSON: what digests cover and the trail keeps. */
  readonly canonicalPayload: string;
  readonly idempotencyKey: string;
  /** On whose behalf the agent acts, as it claims or as its credential says; null if neither does. */
  readonly principal: string | null;
  /** The run or conversation that the call belongs to; null if the agent does not say. */
  readonly sessionId: string | null;
}

/**
 * Checks a decoded request of the agent `agentId` against the contract.
 *
 * @param verifiedPrincipal on whose behalf the agent's credential says that it acts; null if it does not say
 * @throws Fault AGENT_MISMATCH, PRINCIPAL_MISMATCH or FIELD_INVALID, naming the field
 */
export function parseRequest(
  request: UnverifiedRequest,
  agentId: string,
  verifiedPrincipal: string | null = null,
): Question {
  if (request.agentId !== "" && request.agentId !== agentId) {
    throw new Fault("AGENT_MISMATCH", "agent_id must be the credential's own agent, or absent.", { field: "agent_id" });
  }
  checkName("tool", request.tool);
  checkName("idempotency_key", request.idempotencyKey);
  checkNonce(request.nonce);
  checkClaim("principal", request.principal);
  checkClaim("session_id", request.sessionId);
  if (verifiedPrincipal !== null && request.principal !== null && request.principal !== verifiedPrincipal) {
    const problem = "principal must be the one that the credential names, or absent.";
    throw new Fault("PRINCIPAL_MISMATCH", problem, { field: "principal" });
  }
  const canonicalPayload = canonicalise(request.payload);
  const { tool, payload, idempotencyKey, sessionId } = request;
  const principal = verifiedPrincipal ?? request.principal;
  return { agentId, tool, payload, canonicalPayload, idempotencyKey, principal, sessionId };
}

/** @throws Fault FIELD_INVALID */
export function checkNonce(nonce: Uint8Array): void {
  if (nonce.length > 0 && nonce.length !== LIMITS.nonceBytes) {
    throw invalid("nonce", `must be ${LIMITS.nonceBytes} bytes or absent, is ${nonce.length} bytes`);
  }
}

/** @throws Fault FIELD_INVALID */
export function checkName(field: string, name: string): void {
  if (name === "") throw invalid(field, "must not be empty");
  // A UTF-16 unit is at least one byte and at most three.
  if (name.length * 3 > LIMITS.nameBytes && Buffer.byteLength(name) > LIMITS.nameBytes) {
    throw invalid(field, `must be at most ${LIMITS.nameBytes} bytes, is ${Buffer.byteLength(name)}`);
  }
  if (name.includes("\0")) throw invalid(field, "must not contain NUL");
  if (!name.isWellFormed()) throw invalid(field, "must not contain a lone surrogate");
}

/** Why `text` can be neither a principal nor a session, as the end of a sentence; null if it can. */
export function claimProblem(text: string): string | null {
  if (text === "") return "must not be empty where it is present";
  const bytes = Buffer.byteLength(text);
  if (bytes > LIMITS.nameBytes) return `must be at most ${LIMITS.nameBytes} bytes, is ${bytes}`;
  if (/\p{Cc}/u.test(text)) return "must not contain control characters";
  return text.isWellFormed() ? null : "must not contain a lone surrogate";
}

function checkClaim(field: string, claim: string | null): void {
  const problem = claim === null ? null : claimProblem(claim);
  if (problem !== null) throw invalid(field, problem);
}

function canonicalise(payload: JsonObject): string {
  let text: string;
  try {
    text = canonicalJson(payload, "payload", LIMITS.payloadDepth, { exactIntegers: true });
  } catch (error) {
    if (error instanceof NotCanonicalError) throw invalid(pathText(error.path), error.message, error.path);
    throw error;
  }
  if (text.length * 3 > LIMITS.payloadBytes && Buffer.byteLength(text) > LIMITS.payloadBytes) {
    throw invalid(
      "payload",
      `must be at most ${LIMITS.payloadBytes} bytes of canonical JSON, is ${Buffer.byteLength(text)}`,
    );
  }
  return text;
}

function invalid(field: string, problem: string, path: Readonly<Path> = [field]): Fault {
  return new Fault("FIELD_INVALID", `${excerpt(field)} ${problem}.`, { field: excerpt(field), path });
}

/** A path names payload members, so it is the caller's text: kept short. */
function excerpt(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 200)}…`;
}

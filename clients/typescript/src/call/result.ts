import type { Permit, Result } from "../circuit/breaker.ts";
import type { Attempted } from "./ask.ts";
import type { GuardRefusal } from "./execution.ts";
import { type Failure, NO_CREDENTIAL, type Refusal } from "./outcome.ts";
import type { CallResult } from "./retry.ts";

/** A deadline speaks against the service only if it left as much time, in milliseconds. */
const FAIR_MS = 1000;

/** What a call reports to the circuit: once, whatever its attempts. */
export function resultOf<Answer extends { readonly kind: "answered" }>(
  { final, tookMs, failedBefore }: CallResult<Attempted<Answer>>,
  permit: Permit,
): Result {
  switch (final.kind) {
    case "answered":
      return { kind: "success" };
    case "malformed":
    case "unavailable":
    case "failed":
      return { kind: "failure", error: final.problem };
    case "late":
      return tookMs >= FAIR_MS ? { kind: "failure", error: final.problem } : { kind: "ignored" };
    case "deadline":
      if (failedBefore) return { kind: "failure", error: "it failed, and then the deadline passed" };
      return final.busy || tookMs < FAIR_MS
        ? { kind: "ignored" }
        : { kind: "failure", error: "no answer before the deadline" };
    case "refused":
      // Who refuses is there, which is all that a probe asks. And a credential that the service does not accept must not be
      // what keeps a circuit open, under which a bypass could act.
      return permit.kind === "probe" ? { kind: "success" } : { kind: "ignored" };
    case "unsent":
    case "cancelled":
      return { kind: "ignored" };
  }
}

/** Why there is no answer that a guard could pass on, in its own words. */
export interface NoAnswer {
  readonly reason: GuardRefusal;
  readonly message: string;
  readonly refusal: Refusal | null;
}

/** What a call without an answer comes to. */
export function noAnswerOf(final: Failure | { readonly kind: "deadline" | "cancelled" }): NoAnswer {
  switch (final.kind) {
    case "malformed":
      return no("MALFORMED_RESPONSE", `The answer was malformed: ${final.problem}.`);
    case "unavailable":
    case "failed":
      return no("SERVICE_UNAVAILABLE", `The service failed: ${final.problem}.`);
    case "refused":
      return no("REQUEST_REFUSED", `The request was refused: ${final.problem}.`, final.refusal);
    case "unsent":
      return no("REQUEST_REFUSED", `The request was refused: ${final.problem}.`, NO_CREDENTIAL);
    case "late":
    case "deadline":
      return no("DEADLINE_EXCEEDED", "There was no answer before the deadline.");
    case "cancelled":
      return no("DEADLINE_EXCEEDED", "The caller cancelled before there was an answer.");
  }
}

function no(reason: GuardRefusal, message: string, refusal: Refusal | null = null): NoAnswer {
  return { reason, message, refusal };
}

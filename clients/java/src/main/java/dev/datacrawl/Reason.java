package dev.datacrawl;

/** Why a decision was made. Each reason agrees with exactly one decision. */
public enum Reason {
  /** An allow rule matched, and no deny or review rule did. */
  RULE_ALLOWED(Decision.ALLOW),
  /** A deny rule matched. */
  RULE_DENIED(Decision.DENY),
  /** No rule matched: what is not allowed is denied. */
  NO_MATCHING_RULE(Decision.DENY),
  /** The condition of a deny or review rule could not be evaluated. */
  RULE_ERROR(Decision.DENY),
  /** The idempotency key belongs to another request. */
  IDEMPOTENCY_KEY_REUSED(Decision.DENY),
  /** The agent is frozen. */
  AGENT_FROZEN(Decision.DENY),
  /** A review rule matched; nobody has answered yet. */
  REVIEW_PENDING(Decision.NEEDS_REVIEW),
  /** People approved the request. */
  REVIEW_APPROVED(Decision.ALLOW),
  /** People rejected the request. */
  REVIEW_REJECTED(Decision.DENY),
  /** Nobody answered the review in time, or the approval has lapsed. */
  REVIEW_EXPIRED(Decision.DENY),
  /** A guard's: the service could not be reached, or could not record its decision. */
  SERVICE_UNAVAILABLE(Decision.DENY),
  /** A guard's: there was no answer within the deadline, or the caller cancelled. */
  DEADLINE_EXCEEDED(Decision.DENY),
  /** A guard's: the answer was not a well-formed answer to this question. */
  MALFORMED_RESPONSE(Decision.DENY),
  /** A guard's: the request was refused. {@link Verdict#code} says why. */
  REQUEST_REFUSED(Decision.DENY),
  /** A guard's: the circuit is open after repeated failures of the service. */
  CIRCUIT_OPEN(Decision.DENY),
  /** A sidecar's: the circuit is open, and an operator's grant allows this agent and tool. */
  CIRCUIT_BYPASS(Decision.ALLOW);

  private final Decision decision;

  Reason(Decision decision) {
    this.decision = decision;
  }

  /** The one decision that this reason agrees with. */
  public Decision decision() {
    return decision;
  }
}

package dev.datacrawl;

/** Why a request was refused. */
public enum RefusalCode {
  /** Over the agent's rate or a limit of the service. */
  RATE_LIMITED,
  /** The credential is missing, unknown, expired or revoked. */
  BAD_CREDENTIAL,
  /** The credential does not permit this request: it belongs to another agent, for example. */
  NOT_PERMITTED,
  /** The request breaks the contract, and repeating it does not help. */
  BAD_REQUEST
}

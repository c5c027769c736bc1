package dev.datacrawl.internal.call;

/** What an attempt asked. An answer that does not repeat all of it is not an answer to this attempt. */
public final class Expected {
  /** Empty if only a sidecar knows it; then any agent is taken. */
  final String agentId;
  /** 16 bytes: of this attempt alone, or of this start and its retries. */
  final byte[] nonce;
  /** Null for a decision that is watched or started. */
  final String tool;
  /** Null for a decision that is watched or started. */
  final String idempotencyKey;
  /** Null for a new decision. */
  final String decisionId;
  /** The answer is a sidecar's, which may also decide alone. */
  final boolean sidecar;

  private Expected(String agentId, byte[] nonce, String tool, String key, String decisionId, boolean sidecar) {
    this.agentId = agentId;
    this.nonce = nonce;
    this.tool = tool;
    this.idempotencyKey = key;
    this.decisionId = decisionId;
    this.sidecar = sidecar;
  }

  public static Expected question(String agentId, byte[] nonce, Question question, boolean sidecar) {
    return new Expected(agentId, nonce, question.tool, question.idempotencyKey, null, sidecar);
  }

  public static Expected decision(String agentId, byte[] nonce, String decisionId, boolean sidecar) {
    return new Expected(agentId, nonce, null, null, decisionId, sidecar);
  }
}

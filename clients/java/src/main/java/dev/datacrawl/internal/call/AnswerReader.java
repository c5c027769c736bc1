package dev.datacrawl.internal.call;

import dev.datacrawl.Decision;
import dev.datacrawl.Reason;
import dev.datacrawl.Source;
import dev.datacrawl.Verdict;
import dev.datacrawl.internal.wire.Message;
import dev.datacrawl.internal.wire.Message.Kind;
import dev.datacrawl.internal.wire.Undecodable;
import java.time.Instant;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads decisions.
 *
 * <p>INVARIANT: the only place where bytes from the network become a decision. The strictest reading wins, also where a protocol or a decoder
 * would accept more.
 */
public final class AnswerReader {
  private static final int REASON = 1;
  private static final int MESSAGE = 2;
  private static final int DECISION_ID = 3;
  private static final int POLICY_VERSION = 4;
  private static final int REPLAYED = 5;
  private static final int DECIDED_AT = 6;
  private static final int RULE_ID = 7;
  private static final int AGENT_ID = 8;
  private static final int TOOL = 9;
  private static final int IDEMPOTENCY_KEY = 10;
  private static final int NONCE = 11;
  private static final int SOURCE = 12;
  private static final int DECISION = 15;

  /** Those of AuthorizeResponse, and of WatchDecisionResponse. */
  private static final Map<Integer, Kind> FIELDS = new HashMap<>();

  static {
    for (int field : new int[] {MESSAGE, DECISION_ID, POLICY_VERSION, RULE_ID, AGENT_ID, TOOL, IDEMPOTENCY_KEY})
      FIELDS.put(field, Kind.STRING);
    for (int field : new int[] {REASON, REPLAYED, SOURCE, DECISION}) FIELDS.put(field, Kind.NUMBER);
    FIELDS.put(DECIDED_AT, Kind.TIMESTAMP);
    FIELDS.put(NONCE, Kind.BYTES);
  }

  private static final Map<Long, Decision> DECISIONS =
      Map.of(1L, Decision.ALLOW, 2L, Decision.DENY, 4L, Decision.NEEDS_REVIEW);

  private static final Map<Long, Reason> SERVICE_REASONS =
      Map.of(
          1L, Reason.RULE_ALLOWED,
          2L, Reason.RULE_DENIED,
          3L, Reason.NO_MATCHING_RULE,
          4L, Reason.RULE_ERROR,
          5L, Reason.IDEMPOTENCY_KEY_REUSED,
          6L, Reason.AGENT_FROZEN,
          7L, Reason.REVIEW_PENDING,
          8L, Reason.REVIEW_APPROVED,
          9L, Reason.REVIEW_REJECTED,
          10L, Reason.REVIEW_EXPIRED);

  /** What a sidecar decides alone. Never a service's. */
  private static final Map<Long, Reason> GUARD_REASONS =
      Map.of(
          20L, Reason.SERVICE_UNAVAILABLE,
          21L, Reason.DEADLINE_EXCEEDED,
          22L, Reason.MALFORMED_RESPONSE,
          23L, Reason.REQUEST_REFUSED,
          24L, Reason.CIRCUIT_OPEN,
          25L, Reason.CIRCUIT_BYPASS);

  private static final long SERVICE = 1;
  private static final long GUARD = 2;

  private AnswerReader() {}

  /**
   * What the service said, if it said it in the one right form and to this very question; else malformed. A stream says what its last message
   * says: every message is a well-formed answer, and only the last may be anything but needs_review.
   */
  public static End<Verdict> read(Reply reply, Expected expected) {
    if (reply.failure != null) return reply.failure.without();
    End<Verdict> last = End.malformed("the answer has no message");
    for (byte[] unverifiedMessage : reply.unverifiedMessages) {
      if (last.answer != null && last.answer.decision() != Decision.NEEDS_REVIEW)
        return End.malformed("there is an answer after the last one");
      last = readMessage(unverifiedMessage, expected);
      if (last.answer == null) return last;
    }
    return last;
  }

  private static End<Verdict> readMessage(byte[] unverifiedMessage, Expected expected) {
    Message unverified;
    try {
      unverified = Message.decode(unverifiedMessage, FIELDS);
    } catch (Undecodable error) {
      return End.malformed("the answer " + error.getMessage());
    }
    Decision decision = DECISIONS.get(unverified.number(DECISION));
    if (decision == null) return End.malformed("the answer holds no decision");
    long source = unverified.number(SOURCE);
    if (source != SERVICE && !(source == GUARD && expected.sidecar))
      return End.malformed("the answer is not from the service");
    Reason reason = (source == SERVICE ? SERVICE_REASONS : GUARD_REASONS).get(unverified.number(REASON));
    if (reason == null)
      return End.malformed("the source does not give reason " + Long.toUnsignedString(unverified.number(REASON)));
    if (reason.decision() != decision)
      return End.malformed("the decision " + decision + " does not agree with the reason " + reason);
    String problem = echoProblem(unverified, expected);
    if (problem != null) return End.malformed(problem);
    Instant decidedAt = unverified.timestamp(DECIDED_AT);
    return End.answered(
        Verdict.builder(reason, unverified.string(MESSAGE))
            .decisionId(unverified.string(DECISION_ID))
            .policyVersion(unverified.string(POLICY_VERSION))
            .ruleId(unverified.string(RULE_ID).isEmpty() ? null : unverified.string(RULE_ID))
            .replayed(unverified.number(REPLAYED) == 1)
            .source(source == SERVICE ? Source.SERVICE : Source.GUARD)
            .decidedAt(decidedAt == null ? Instant.now() : decidedAt)
            .tool(unverified.string(TOOL))
            .idempotencyKey(unverified.string(IDEMPOTENCY_KEY))
            .build());
  }

  /** The first thing that keeps an answer from being one to this question, or null. */
  private static String echoProblem(Message unverified, Expected expected) {
    if (!isAgent(unverified.string(AGENT_ID), expected)) return "the answer is for another agent";
    if (expected.decisionId != null) {
      if (!unverified.string(DECISION_ID).equals(expected.decisionId)) return "the answer is for another decision";
    } else {
      if (!unverified.string(TOOL).equals(expected.tool)) return "the answer is for another tool";
      if (!unverified.string(IDEMPOTENCY_KEY).equals(expected.idempotencyKey))
        return "the answer is for another idempotency key";
    }
    if (!Arrays.equals(unverified.bytes(NONCE), expected.nonce)) return "the answer is for another attempt";
    if (!Ids.isUuid(unverified.string(DECISION_ID))) return "the decision id is not a UUID";
    // As an unsigned number.
    if ((unverified.number(REPLAYED) & ~1L) != 0) return "replayed is neither true nor false";
    return null;
  }

  static boolean isAgent(String agentId, Expected expected) {
    return expected.agentId.isEmpty() ? !agentId.isEmpty() : agentId.equals(expected.agentId);
  }
}

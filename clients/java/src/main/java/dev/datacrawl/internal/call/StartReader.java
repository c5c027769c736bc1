package dev.datacrawl.internal.call;

import dev.datacrawl.Outcome;
import dev.datacrawl.Source;
import dev.datacrawl.Start;
import dev.datacrawl.internal.wire.Message;
import dev.datacrawl.internal.wire.Message.Kind;
import dev.datacrawl.internal.wire.Undecodable;
import java.time.Instant;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads answers to a start and to a report.
 *
 * <p>INVARIANT: the only place where bytes from the network become a start. As strict as the reading of a decision.
 */
public final class StartReader {
  private static final int REASON = 1;
  private static final int MESSAGE = 2;
  private static final int DECISION_ID = 3;
  private static final int NONCE = 4;
  private static final int AGENT_ID = 5;
  private static final int EXECUTION_ID = 6;
  private static final int STARTED_AT = 7;
  private static final int STARTED_BY = 8;
  private static final int OUTCOME = 9;
  private static final int ENDED_AT = 10;
  private static final int REPORT_DUE_AT = 11;
  private static final int SOURCE = 12;
  private static final int STATE = 15;

  private static final Map<Integer, Kind> FIELDS = new HashMap<>();

  static {
    for (int field : new int[] {MESSAGE, DECISION_ID, AGENT_ID, EXECUTION_ID, STARTED_BY}) FIELDS.put(field, Kind.STRING);
    for (int field : new int[] {REASON, OUTCOME, SOURCE, STATE}) FIELDS.put(field, Kind.NUMBER);
    for (int field : new int[] {STARTED_AT, ENDED_AT, REPORT_DUE_AT}) FIELDS.put(field, Kind.TIMESTAMP);
    FIELDS.put(NONCE, Kind.BYTES);
  }

  private static final long STARTED = 1;
  private static final long ALREADY_STARTED = 2;
  private static final long REFUSED = 4;

  private static final Map<Long, String> REFUSALS =
      Map.of(
          1L, "UNKNOWN_DECISION",
          2L, "NOT_ALLOWED",
          3L, "EXPIRED",
          4L, "AGENT_FROZEN",
          5L, "APPROVAL_LAPSED");

  private static final Map<Long, Outcome> OUTCOMES =
      Map.of(1L, Outcome.SUCCEEDED, 2L, Outcome.FAILED, 4L, Outcome.UNKNOWN);

  private static final Map<Integer, Kind> REPORT_FIELDS =
      Map.of(1, Kind.STRING, 2, Kind.STRING, 3, Kind.NUMBER, 4, Kind.TIMESTAMP, 5, Kind.NUMBER);

  private StartReader() {}

  /** What the service said to a start, if it said it in the one right form and to this very start; else malformed. */
  public static End<Start> read(Reply reply, Expected expected) {
    if (reply.failure != null) return reply.failure.without();
    Message unverified;
    try {
      unverified = Message.decode(reply.unverifiedMessages.get(0), FIELDS);
    } catch (Undecodable error) {
      return End.malformed("the answer " + error.getMessage());
    }
    String problem = echoProblem(unverified, expected);
    if (problem != null) return End.malformed(problem);
    long state = unverified.number(STATE);
    if (state == STARTED || state == ALREADY_STARTED) return execution(unverified, state == STARTED);
    if (state == REFUSED) return refusal(unverified);
    return End.malformed("the answer holds no state");
  }

  private static String echoProblem(Message unverified, Expected expected) {
    long source = unverified.number(SOURCE);
    if (source != 1 && !(source == 2 && expected.sidecar)) return "the answer is not from the service";
    if (!AnswerReader.isAgent(unverified.string(AGENT_ID), expected)) return "the answer is for another agent";
    if (!unverified.string(DECISION_ID).equals(expected.decisionId)) return "the answer is for another decision";
    if (!Arrays.equals(unverified.bytes(NONCE), expected.nonce)) return "the answer is for another start";
    return null;
  }

  private static End<Start> execution(Message unverified, boolean isStarted) {
    String executionId = unverified.string(EXECUTION_ID);
    Instant startedAt = unverified.timestamp(STARTED_AT);
    Instant endedAt = unverified.timestamp(ENDED_AT);
    Instant reportDueAt = unverified.timestamp(REPORT_DUE_AT);
    String startedBy = unverified.string(STARTED_BY);
    if (unverified.number(REASON) != 0) return End.malformed("a start has a reason of a refusal");
    if (isStarted == executionId.isEmpty())
      return End.malformed("the execution's id does not agree with the state");
    if (isStarted && !Ids.isUuid(executionId)) return End.malformed("the execution's id is not a UUID");
    if (startedAt == null || reportDueAt == null || startedBy.isEmpty())
      return End.malformed("the start has no time or no credential");
    long number = unverified.number(OUTCOME);
    Outcome outcome = OUTCOMES.get(number);
    if (number != 0 && outcome == null)
      return End.malformed("the contract has no outcome " + Long.toUnsignedString(number));
    if ((outcome == null) != (endedAt == null)) return End.malformed("the outcome and its time do not agree");
    String message = unverified.string(MESSAGE);
    String decisionId = unverified.string(DECISION_ID);
    Source source = source(unverified);
    // INVARIANT: what has ended is not run, also if this very start began it: an operator may have resolved it meanwhile.
    return End.answered(
        isStarted && outcome == null
            ? Start.started(message, decisionId, source, executionId, startedAt, startedBy, reportDueAt)
            : Start.alreadyStarted(message, decisionId, source, startedAt, startedBy, reportDueAt, outcome, endedAt));
  }

  private static End<Start> refusal(Message unverified) {
    long number = unverified.number(REASON);
    String reason = REFUSALS.get(number);
    if (reason == null)
      return End.malformed("the service does not refuse for reason " + Long.toUnsignedString(number));
    boolean isBare =
        unverified.string(EXECUTION_ID).isEmpty()
            && unverified.string(STARTED_BY).isEmpty()
            && unverified.number(OUTCOME) == 0
            && unverified.timestamp(STARTED_AT) == null
            && unverified.timestamp(ENDED_AT) == null
            && unverified.timestamp(REPORT_DUE_AT) == null;
    if (!isBare) return End.malformed("a refusal has fields of a start");
    String message = unverified.string(MESSAGE);
    return End.answered(
        Start.refused(message, unverified.string(DECISION_ID), source(unverified), reason, null, null));
  }

  private static Source source(Message unverified) {
    return unverified.number(SOURCE) == 1 ? Source.SERVICE : Source.GUARD;
  }

  /** The outcome's number on the wire. */
  public static int numberOf(Outcome outcome) {
    switch (outcome) {
      case SUCCEEDED:
        return 1;
      case FAILED:
        return 2;
      default:
        return 4;
    }
  }

  /** A report that is on record. */
  public static final class Recorded {
    public final Instant endedAt;
    public final boolean replayed;

    private Recorded(Instant endedAt, boolean replayed) {
      this.endedAt = endedAt;
      this.replayed = replayed;
    }
  }

  /** What the service said to a report, if it said that this very report is on record; else malformed. */
  public static End<Recorded> readReport(Reply reply, String decisionId, String executionId, Outcome outcome) {
    if (reply.failure != null) return reply.failure.without();
    Message unverified;
    try {
      unverified = Message.decode(reply.unverifiedMessages.get(0), REPORT_FIELDS);
    } catch (Undecodable error) {
      return End.malformed("the answer " + error.getMessage());
    }
    boolean isEcho =
        unverified.string(1).equals(decisionId)
            && unverified.string(2).equals(executionId)
            && unverified.number(3) == numberOf(outcome);
    if (!isEcho) return End.malformed("the answer is for another report");
    Instant endedAt = unverified.timestamp(4);
    long replayed = unverified.number(5);
    if (endedAt == null || (replayed & ~1L) != 0)
      return End.malformed("the answer does not say when the report was recorded");
    return End.answered(new Recorded(endedAt, replayed == 1));
  }
}

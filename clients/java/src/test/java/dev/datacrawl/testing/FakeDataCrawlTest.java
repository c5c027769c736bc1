package dev.datacrawl.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.datacrawl.AuthorizeRequest;
import dev.datacrawl.Decision;
import dev.datacrawl.Outcome;
import dev.datacrawl.Reason;
import dev.datacrawl.Start;
import dev.datacrawl.Verdict;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class FakeDataCrawlTest {
  private final FakeDataCrawl dc = new FakeDataCrawl();

  @Test
  void aToolWithoutAnAnswerIsDenied() {
    assertEquals(Reason.NO_MATCHING_RULE, dc.authorize(AuthorizeRequest.of("mail", Map.of(), "k")).reason());
    assertFalse(dc.authorizeAsync(AuthorizeRequest.of("mail", Map.of(), "k")).join().allowed());
    dc.answer("mail", payload -> null);
    assertFalse(dc.authorize(AuthorizeRequest.of("mail", Map.of(), "k")).allowed());
  }

  @Test
  void anAnswerMayDependOnThePayload() {
    dc.answer("refund", payload -> ((Number) payload.get("amount")).intValue() <= 100 ? Decision.ALLOW : Decision.DENY);
    assertTrue(dc.authorize(AuthorizeRequest.of("refund", Map.of("amount", 100), null)).allowed());
    assertEquals(Reason.RULE_DENIED, dc.authorize(AuthorizeRequest.of("refund", Map.of("amount", 101), null)).reason());
    assertEquals(2, dc.requests().size());
  }

  @Test
  void aPayloadThatIsNotJsonIsRefused() {
    dc.answer("mail", Decision.ALLOW);
    assertFalse(dc.authorize(AuthorizeRequest.of("mail", Map.of("x", Double.NaN), "k")).allowed());
    assertEquals(0, dc.requests().size());
  }

  @Test
  void aReviewIsDecidedByTheTest() {
    dc.answer("wire", Decision.NEEDS_REVIEW);
    Verdict first = dc.authorize(AuthorizeRequest.of("wire", Map.of(), "w"));
    Verdict other = dc.authorize(AuthorizeRequest.of("wire", Map.of(), "x"));
    assertEquals(Decision.NEEDS_REVIEW, dc.waitForReview(first.decisionId(), Duration.ofSeconds(1)).decision());
    dc.resolveReview(first.decisionId(), true);
    dc.resolveReview(other.decisionId(), false);
    assertTrue(dc.waitForReview(first.decisionId(), Duration.ofSeconds(1)).allowed());
    assertFalse(dc.waitForReviewAsync(other.decisionId(), Duration.ofSeconds(1)).join().allowed());
    assertFalse(dc.waitForReview("unknown", Duration.ofSeconds(1)).allowed());
    assertThrows(IllegalArgumentException.class, () -> dc.resolveReview("unknown", true));
  }

  @Test
  void eachKeyIsStartedAndReportedOnce() {
    dc.answer("mail", Decision.ALLOW);
    Start start = dc.begin(dc.authorize(AuthorizeRequest.of("mail", Map.of(), "k")));
    assertTrue(start.started());
    assertTrue(dc.report(start, Outcome.FAILED).recorded());
    assertTrue(dc.report(start, Outcome.FAILED).replayed());
    assertFalse(dc.report(start, Outcome.SUCCEEDED).recorded());
    Start again = dc.begin(dc.authorize(AuthorizeRequest.of("mail", Map.of(), "k")));
    assertEquals(Start.State.ALREADY_STARTED, again.state());
    assertEquals(Optional.of(Outcome.FAILED), again.outcome());
    assertEquals("NOT_ALLOWED", dc.begin(dc.authorize(AuthorizeRequest.of("other", Map.of(), "k"))).reason());
    assertFalse(dc.report(again, Outcome.SUCCEEDED).recorded());
  }
}

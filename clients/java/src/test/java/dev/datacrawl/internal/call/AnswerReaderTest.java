package dev.datacrawl.internal.call;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.InvalidProtocolBufferException;
import dev.datacrawl.ScriptedService;
import dev.datacrawl.Verdict;
import dev.datacrawl.authz.v1.AuthorizeRequest;
import dev.datacrawl.authz.v1.AuthorizeResponse;
import dev.datacrawl.authz.v1.WatchDecisionRequest;
import dev.datacrawl.internal.json.NotJson;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the conformance kit does not put together by itself: streams, and damage by chance. */
class AnswerReaderTest {
  private static final byte[] NONCE = new byte[16];
  private static final WatchDecisionRequest WATCH =
      WatchDecisionRequest.newBuilder()
          .setDecisionId(ScriptedService.DECISION)
          .setNonce(com.google.protobuf.ByteString.copyFrom(NONCE))
          .build();
  private Expected expected;
  private byte[] allow;

  @BeforeEach
  void ask() throws NotJson {
    var request = dev.datacrawl.AuthorizeRequest.of("gmail.send_email", Map.of(), "send-1");
    expected = Expected.question("demo", NONCE, Question.of(request, "demo"), false);
    allow =
        ScriptedService.allow(
                AuthorizeRequest.newBuilder()
                    .setTool("gmail.send_email")
                    .setIdempotencyKey("send-1")
                    .setNonce(com.google.protobuf.ByteString.copyFrom(NONCE))
                    .build())
            .build()
            .toByteArray();
  }

  private static End<Verdict> stream(int... reasonsAndDecisions) {
    Expected watched = Expected.decision("demo", NONCE, ScriptedService.DECISION, false);
    byte[][] messages = new byte[reasonsAndDecisions.length / 2][];
    for (int index = 0; index < messages.length; index++)
      messages[index] =
          ScriptedService.watched(WATCH, reasonsAndDecisions[2 * index], reasonsAndDecisions[2 * index + 1])
              .build()
              .toByteArray();
    return AnswerReader.read(Reply.of(List.of(messages)), watched);
  }

  @Test
  void aStreamSaysWhatItsLastMessageSays() {
    assertTrue(stream(8, 1).answer.allowed());
    assertTrue(stream(7, 4, 8, 1).answer.allowed());
    assertTrue(stream(7, 4, 7, 4, 8, 1).answer.allowed());
    assertEquals(dev.datacrawl.Decision.NEEDS_REVIEW, stream(7, 4).answer.decision());
  }

  @Test
  void anAnswerAfterTheLastOneIsMalformed() {
    assertEquals(End.Kind.MALFORMED, stream(9, 2, 8, 1).kind);
    assertEquals(End.Kind.MALFORMED, stream(8, 1, 8, 1).kind);
    assertEquals(End.Kind.MALFORMED, stream(8, 1, 7, 4).kind);
    assertEquals(End.Kind.MALFORMED, stream(7, 2, 8, 1).kind);
  }

  /** A decoder that is not ours says what the damaged bytes still are. */
  @Test
  void whatChanceDamagesAllowsOnlyIfTheAnswerIsStillTheSame() throws InvalidProtocolBufferException {
    assertNotNull(AnswerReader.read(Reply.of(List.of(allow)), expected).answer);
    AuthorizeResponse right = AuthorizeResponse.parseFrom(allow);
    Random random = new Random(1128);
    int allowed = 0;
    for (int round = 0; round < 50_000; round++) {
      byte[] damaged = damage(random);
      Verdict verdict = AnswerReader.read(Reply.of(List.of(damaged)), expected).answer;
      if (verdict == null || !verdict.allowed()) continue;
      allowed++;
      AuthorizeResponse read = AuthorizeResponse.parseFrom(damaged);
      assertEquals(right.getDecisionValue(), read.getDecisionValue());
      assertEquals(right.getSourceValue(), read.getSourceValue());
      assertEquals(right.getAgentId(), read.getAgentId());
      assertEquals(right.getTool(), read.getTool());
      assertEquals(right.getIdempotencyKey(), read.getIdempotencyKey());
      assertEquals(right.getNonce(), read.getNonce());
      assertTrue(read.getReasonValue() == 1 || read.getReasonValue() == 8);
    }
    // Damage to what an answer says besides is not noticed, so that the test does test something.
    assertTrue(allowed > 100, String.valueOf(allowed));
  }

  /** Changes, removes, repeats or moves some bytes. */
  private byte[] damage(Random random) {
    int from = random.nextInt(allow.length);
    int to = from + 1 + random.nextInt(Math.min(24, allow.length - from));
    byte[] part = Arrays.copyOfRange(allow, from, to);
    byte[] head = Arrays.copyOf(allow, from);
    byte[] tail = Arrays.copyOfRange(allow, to, allow.length);
    switch (random.nextInt(4)) {
      case 0:
        part[random.nextInt(part.length)] = (byte) random.nextInt(256);
        return join(head, part, tail);
      case 1:
        return join(head, tail);
      case 2:
        return join(head, part, part, tail);
      default:
        return join(part, head, tail);
    }
  }

  private static byte[] join(byte[]... parts) {
    java.io.ByteArrayOutputStream joined = new java.io.ByteArrayOutputStream();
    for (byte[] part : parts) joined.writeBytes(part);
    return joined.toByteArray();
  }

  @Test
  void nothingIsNoAnswer() {
    assertNull(AnswerReader.read(Reply.of(List.of(new byte[0])), expected).answer);
    assertNull(AnswerReader.read(Reply.of(List.of()), expected).answer);
  }
}

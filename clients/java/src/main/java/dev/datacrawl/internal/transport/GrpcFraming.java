package dev.datacrawl.internal.transport;

import static dev.datacrawl.internal.transport.RawReply.onlyValue;
import static dev.datacrawl.internal.transport.RawReply.valuesOf;

import dev.datacrawl.internal.call.End;
import dev.datacrawl.internal.call.Reply;
import dev.datacrawl.internal.call.Status;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * gRPC by the strictest reading of its specification: HTTP 200, one content type of ours, one {@code grpc-status} in its place, and
 * beside status 0 nothing but uncompressed frames, of which there is exactly one unless the method streams.
 */
final class GrpcFraming {
  private static final Set<String> CONTENT_TYPES = Set.of("application/grpc", "application/grpc+proto");
  /** What gateways answer when the service behind them is away. */
  private static final Set<String> AWAY = Set.of("502", "503", "504");
  private static final Pattern STATUS = Pattern.compile("0|[1-9][0-9]?");
  private static final int PREFIX_BYTES = 5;

  private GrpcFraming() {}

  /** Flag 0, for nothing is compressed; the length; the message. */
  static byte[] envelope(byte[] message) {
    return ByteBuffer.allocate(PREFIX_BYTES + message.length).put((byte) 0).putInt(message.length).put(message).array();
  }

  static Reply unframe(RawReply reply, boolean streams) {
    if (reply.broken != null) return Reply.of(endOf(reply));
    String contentType = onlyValue(reply.headers, "content-type");
    if (contentType == null || !CONTENT_TYPES.contains(contentType)) return Reply.of(foreign(reply, contentType));
    if (!reply.httpStatus.equals("200")) return malformed("HTTP " + reply.httpStatus);
    // Nobody asked for compression, so that nothing can inflate.
    for (String coding : valuesOf(reply.headers, "grpc-encoding"))
      if (!coding.equals("identity")) return malformed("the answer is compressed");
    for (String length : valuesOf(reply.headers, "content-length"))
      if (!length.equals(String.valueOf(reply.body.length))) return malformed("the answer's content-length is wrong");
    if (reply.trailers == null) return trailersOnly(reply);
    if (!valuesOf(reply.headers, "grpc-status").isEmpty()) return malformed("grpc-status is in the headers");
    End<Void> failure = statusIn(reply.trailers);
    return failure != null ? Reply.of(failure) : messages(reply.body, streams);
  }

  private static End<Void> endOf(RawReply reply) {
    switch (reply.broken) {
      case UNREACHABLE:
        return End.unavailable(reply.problem);
      case RESET:
        return End.failed(reply.problem);
      default:
        return End.malformed(reply.problem);
    }
  }

  /** A reply that is HTTP and not gRPC. */
  private static End<Void> foreign(RawReply reply, String contentType) {
    String problem = "HTTP " + reply.httpStatus + ", content type " + (contentType == null ? "missing" : contentType);
    return AWAY.contains(reply.httpStatus) ? End.unavailable(problem) : End.malformed(problem);
  }

  /** Headers that are trailers too: how gRPC sends a status without a message. */
  private static Reply trailersOnly(RawReply reply) {
    if (reply.body.length > 0) return malformed("the answer has no trailers");
    End<Void> failure = statusIn(reply.headers);
    return failure != null ? Reply.of(failure) : malformed("the answer has status OK and no message");
  }

  /** Null for OK. */
  private static End<Void> statusIn(List<Map.Entry<String, String>> trailers) {
    String text = onlyValue(trailers, "grpc-status");
    if (text == null) return End.malformed("grpc-status is missing or repeated");
    int number = STATUS.matcher(text).matches() ? Integer.parseInt(text) : Integer.MAX_VALUE;
    if (number >= Status.values().length) return End.malformed("grpc-status is \"" + text + "\"");
    if (number == 0) return null;
    String message = onlyValue(trailers, "grpc-message");
    String details = onlyValue(trailers, "grpc-status-details-bin");
    return End.ofStatus(
        Status.values()[number],
        message == null ? "" : percentDecoded(message),
        details == null ? null : RetryInfo.delayIn(details));
  }

  private static Reply messages(byte[] body, boolean streams) {
    List<byte[]> messages = new ArrayList<>();
    int at = 0;
    while (at < body.length) {
      if (body.length - at < PREFIX_BYTES) return malformed("the answer is not a sequence of whole frames");
      int flag = body[at] & 0xff;
      long length = ByteBuffer.wrap(body, at + 1, 4).getInt() & 0xffff_ffffL;
      int start = at + PREFIX_BYTES;
      if (length > body.length - start) return malformed("the answer is not a sequence of whole frames");
      if (flag != 0) return malformed("the answer's frame has flag " + flag);
      at = start + (int) length;
      messages.add(Arrays.copyOfRange(body, start, at));
    }
    if (messages.isEmpty()) return malformed("the answer has no message");
    if (!streams && messages.size() > 1) return malformed("the answer is not exactly one frame");
    return Reply.of(messages);
  }

  private static Reply malformed(String problem) {
    return Reply.of(End.malformed(problem));
  }

  private static String percentDecoded(String text) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int index = 0; index < text.length(); index++) {
      char c = text.charAt(index);
      int high = c == '%' && index + 2 < text.length() ? Character.digit(text.charAt(index + 1), 16) : -1;
      int low = high < 0 ? -1 : Character.digit(text.charAt(index + 2), 16);
      bytes.write(low < 0 ? c : high << 4 | low);
      if (low >= 0) index += 2;
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }
}

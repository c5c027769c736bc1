package dev.datacrawl.internal.transport;

import dev.datacrawl.internal.wire.Message;
import dev.datacrawl.internal.wire.Message.Kind;
import dev.datacrawl.internal.wire.Undecodable;
import dev.datacrawl.internal.wire.WireReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** How long the service asks its caller to wait. A hint: no decision depends on it, so what cannot be read counts as absent. */
final class RetryInfo {
  private static final Duration LONGEST = Duration.ofDays(1);
  private static final int DETAILS = 3;
  private static final Map<Integer, Kind> ANY = Map.of(1, Kind.STRING, 2, Kind.BYTES);
  private static final Map<Integer, Kind> RETRY_INFO = Map.of(1, Kind.BYTES);
  private static final Map<Integer, Kind> DURATION = Map.of(1, Kind.NUMBER, 2, Kind.NUMBER);

  private RetryInfo() {}

  /** The delay in a {@code google.rpc.Status} in base64, as the trailer {@code grpc-status-details-bin} has it; null if there is none. */
  static Duration delayIn(String base64) {
    try {
      for (byte[] detail : details(Base64.getDecoder().decode(base64))) {
        Message any = Message.decode(detail, ANY);
        if (any.string(1).endsWith("/google.rpc.RetryInfo")) return delay(Message.decode(any.bytes(2), RETRY_INFO));
      }
    } catch (Undecodable | IllegalArgumentException error) {
      // Absent.
    }
    return null;
  }

  private static List<byte[]> details(byte[] status) throws Undecodable {
    List<byte[]> details = new ArrayList<>();
    WireReader reader = new WireReader(status);
    while (reader.at() < reader.length()) {
      long tag = reader.tag(reader.length());
      if (tag == (DETAILS << 3 | WireReader.BYTES)) details.add(reader.bytes(reader.length()));
      else reader.skip(tag, reader.length());
    }
    return details;
  }

  private static Duration delay(Message info) throws Undecodable {
    Message duration = Message.decode(info.bytes(1), DURATION);
    long seconds = duration.number(1);
    long nanos = duration.number(2);
    if (seconds < 0 || seconds > LONGEST.getSeconds() || nanos < 0 || nanos > 999_999_999) return null;
    return Duration.ofSeconds(seconds, nanos);
  }
}

package dev.datacrawl.internal.wire;

import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/**
 * A message of the service, decoded strictly: each known field at most once and of its wire type. Unknown fields are skipped, so that the
 * contract can grow. What the fields say has not been verified.
 */
public final class Message {
  /** What a field holds. */
  public enum Kind {
    NUMBER,
    STRING,
    BYTES,
    TIMESTAMP
  }

  private static final long SECONDS = 1 << 3 | WireReader.VARINT;
  private static final long NANOS = 2 << 3 | WireReader.VARINT;
  /** The year 2255, as in the other clients. */
  private static final long MAX_SECONDS = 9_007_199_254L;

  private final Map<Integer, Object> values = new HashMap<>();

  private Message() {}

  /** @param fields the known fields by number */
  public static Message decode(byte[] bytes, Map<Integer, Kind> fields) throws Undecodable {
    Message message = new Message();
    WireReader reader = new WireReader(bytes);
    int end = reader.length();
    while (reader.at() < end) {
      long tag = reader.tag(end);
      int number = (int) (tag >>> 3);
      Kind kind = fields.get(number);
      if (kind == null) {
        reader.skip(tag, end);
        continue;
      }
      int type = (int) (tag & 7);
      if (type != (kind == Kind.NUMBER ? WireReader.VARINT : WireReader.BYTES))
        throw new Undecodable("has field " + number + " with wire type " + type);
      if (message.values.put(number, read(reader, kind, end)) != null)
        throw new Undecodable("has field " + number + " twice");
    }
    return message;
  }

  private static Object read(WireReader reader, Kind kind, int end) throws Undecodable {
    switch (kind) {
      case NUMBER:
        return reader.varint(end);
      case STRING:
        return reader.string(end);
      case BYTES:
        return reader.bytes(end);
      default:
        return timestamp(reader, reader.lengthDelimited(end));
    }
  }

  private static Instant timestamp(WireReader reader, int end) throws Undecodable {
    long seconds = 0;
    long nanos = 0;
    boolean hasSeconds = false;
    boolean hasNanos = false;
    while (reader.at() < end) {
      long tag = reader.tag(end);
      if (tag == SECONDS && !hasSeconds) {
        hasSeconds = true;
        seconds = reader.varint(end);
      } else if (tag == NANOS && !hasNanos) {
        hasNanos = true;
        nanos = reader.varint(end);
      } else if (tag >>> 3 <= 2) {
        throw new Undecodable("occurs twice or has another type on the wire");
      } else {
        reader.skip(tag, end);
      }
    }
    if (seconds < 0 || seconds > MAX_SECONDS || nanos < 0 || nanos > 999_999_999)
      throw new Undecodable("has a time that is out of range");
    return Instant.ofEpochSecond(seconds, nanos);
  }

  /** The field's unsigned number; 0 if it is absent. */
  public long number(int field) {
    Object value = values.get(field);
    return value == null ? 0 : (Long) value;
  }

  /** The field's text; empty if it is absent. */
  public String string(int field) {
    Object value = values.get(field);
    return value == null ? "" : (String) value;
  }

  /** The field's bytes; empty if it is absent. */
  public byte[] bytes(int field) {
    Object value = values.get(field);
    return value == null ? new byte[0] : (byte[]) value;
  }

  /** The field's time; null if it is absent. */
  public Instant timestamp(int field) {
    return (Instant) values.get(field);
  }
}

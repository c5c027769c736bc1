package dev.datacrawl.internal.wire;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads protobuf's wire format strictly: what two parsers could read differently is an error. Each varint has its shortest form and
 * fits into 64 bits, texts are UTF-8, and there are no groups.
 *
 * <p>Not protobuf-java, which treats a known field of the wrong wire type as unknown, takes the last of repeated fields and cuts
 * 2³² + 1 to 1: each of these turns a damaged answer into ALLOW.
 */
public final class WireReader {
  public static final int VARINT = 0;
  public static final int FIXED64 = 1;
  public static final int BYTES = 2;
  public static final int FIXED32 = 5;

  private static final long MAX_UINT32 = 0xffff_ffffL;

  private final byte[] bytes;
  private int at;

  public WireReader(byte[] bytes) {
    this.bytes = bytes;
  }

  /** The end of the message. */
  public int length() {
    return bytes.length;
  }

  /** Where the next read starts. */
  public int at() {
    return at;
  }

  /** A field's tag: its number times 8 plus its wire type, as an unsigned 32-bit number. */
  public long tag(int end) throws Undecodable {
    long tag = uint32(end, "a tag");
    if (tag < 8) throw new Undecodable("has a field numbered 0");
    return tag;
  }

  /** An unsigned 64-bit number. */
  public long varint(int end) throws Undecodable {
    long value = 0;
    for (int index = 0; index < 10; index++) {
      if (at >= end) throw new Undecodable("is cut short");
      int next = bytes[at++];
      if (index == 9 && (next & 0xff) > 1) break;
      value |= (long) (next & 0x7f) << (7 * index);
      if (next >= 0) {
        if (next == 0 && index > 0) throw new Undecodable("has a varint that is longer than its shortest form");
        return value;
      }
    }
    throw new Undecodable("has a varint of more than 64 bits");
  }

  /** The end of a length-delimited field that must lie before {@code end}; its content is read next. */
  public int lengthDelimited(int end) throws Undecodable {
    long length = uint32(end, "a length");
    if (length > end - at) throw new Undecodable("is cut short");
    return at + (int) length;
  }

  public String string(int end) throws Undecodable {
    int stop = lengthDelimited(end);
    try {
      String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, at, stop - at)).toString();
      at = stop;
      return text;
    } catch (CharacterCodingException error) {
      throw new Undecodable("is not valid UTF-8");
    }
  }

  public byte[] bytes(int end) throws Undecodable {
    int stop = lengthDelimited(end);
    byte[] copy = Arrays.copyOfRange(bytes, at, stop);
    at = stop;
    return copy;
  }

  /** Skips a field's value. */
  public void skip(long tag, int end) throws Undecodable {
    int type = (int) (tag & 7);
    switch (type) {
      case VARINT:
        varint(end);
        return;
      case FIXED64:
        advance(8, end);
        return;
      case BYTES:
        at = lengthDelimited(end);
        return;
      case FIXED32:
        advance(4, end);
        return;
      default:
        throw new Undecodable("has a field of wire type " + type);
    }
  }

  private void advance(int length, int end) throws Undecodable {
    if (end - at < length) throw new Undecodable("is cut short");
    at += length;
  }

  private long uint32(int end, String what) throws Undecodable {
    long value = varint(end);
    // Negative as a signed number: 2⁶³ or more.
    if (value < 0 || value > MAX_UINT32) throw new Undecodable("has " + what + " out of range");
    return value;
  }
}

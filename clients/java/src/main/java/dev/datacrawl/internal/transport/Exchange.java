package dev.datacrawl.internal.transport;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Headers;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.AbstractMap.SimpleImmutableEntry;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;

/** One call on a connection: collects its reply. Used on the connection's thread alone, apart from {@link #reply}. */
final class Exchange {
  /** An answer's strings are bounded by the request's 256 bytes each, its message is a sentence. */
  static final int MAX_REPLY_BYTES = 64 * 1024;

  /** How a server, or the codec, ends a stream on which HTTP/2's rules were broken. */
  private static final Set<Long> BROKEN_RULES =
      Set.of(
          Http2Error.PROTOCOL_ERROR.code(),
          Http2Error.FLOW_CONTROL_ERROR.code(),
          Http2Error.STREAM_CLOSED.code(),
          Http2Error.FRAME_SIZE_ERROR.code(),
          Http2Error.COMPRESSION_ERROR.code());

  /** Never completes exceptionally. */
  final CompletableFuture<RawReply> reply = new CompletableFuture<>();
  private final ByteArrayOutputStream body = new ByteArrayOutputStream();
  private String httpStatus;
  private List<Map.Entry<String, String>> headers;
  private List<Map.Entry<String, String>> trailers;

  /** Takes a header block; {@code isEnd}: nothing follows. */
  void onHeaders(Http2Headers block, boolean isEnd) {
    String status = block.status() == null ? "" : block.status().toString();
    // An interim response.
    if (status.startsWith("1") && !isEnd) return;
    List<Map.Entry<String, String>> fields = new ArrayList<>();
    for (Map.Entry<CharSequence, CharSequence> field : block)
      fields.add(new SimpleImmutableEntry<>(field.getKey().toString(), field.getValue().toString()));
    if (headers == null) {
      httpStatus = status;
      headers = fields;
    } else {
      trailers = fields;
    }
    if (isEnd) end();
  }

  /** Takes a part of the body. Returns false if it may not come, and then the stream is to be reset. */
  boolean onData(ByteBuf data, boolean isEnd) {
    if (headers == null) {
      // Netty lets it pass.
      breakOff(RawReply.Broken.PROTOCOL, "the answer has a body before its headers");
      return false;
    }
    if (body.size() + data.readableBytes() > MAX_REPLY_BYTES) {
      breakOff(RawReply.Broken.PROTOCOL, "the answer is over " + MAX_REPLY_BYTES + " bytes");
      return false;
    }
    try {
      data.getBytes(data.readerIndex(), body, data.readableBytes());
    } catch (IOException error) {
      throw new IllegalStateException("an array does not fail", error);
    }
    if (isEnd) end();
    return true;
  }

  private void end() {
    reply.complete(RawReply.whole(httpStatus, headers, body.toByteArray(), trailers));
  }

  /** The server has reset the stream. */
  void onReset(long code) {
    if (code == Http2Error.REFUSED_STREAM.code())
      breakOff(RawReply.Broken.UNREACHABLE, "the server refused the call");
    else if (BROKEN_RULES.contains(code)) breakOff(RawReply.Broken.PROTOCOL, "HTTP/2 error " + code);
    else breakOff(RawReply.Broken.RESET, "the stream was reset with HTTP/2 error " + code);
  }

  /** There will be no whole reply. Changes nothing if there is one already. */
  void breakOff(RawReply.Broken how, String problem) {
    reply.complete(RawReply.broken(how, problem));
  }
}

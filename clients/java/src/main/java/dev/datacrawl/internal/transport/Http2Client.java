package dev.datacrawl.internal.transport;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http2.AbstractHttp2ConnectionHandlerBuilder;
import io.netty.handler.codec.http2.Http2Connection;
import io.netty.handler.codec.http2.Http2ConnectionAdapter;
import io.netty.handler.codec.http2.Http2ConnectionDecoder;
import io.netty.handler.codec.http2.Http2ConnectionEncoder;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2EventAdapter;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2Settings;
import io.netty.handler.codec.http2.Http2Stream;
import java.util.HashMap;
import java.util.Map;

/**
 * The client's side of one HTTP/2 connection, on netty's codec: it has the frames and their rules, and shows the status, the fields as sent
 * and the order of the parts, which grpc-java hides. All methods run on the connection's thread.
 */
final class Http2Client extends Http2ConnectionHandler {
  private static final int MAX_HEADER_BYTES = 64 * 1024;
  /** A server that sends more of them sends nothing else. */
  private static final int MAX_EMPTY_FRAMES = 100;

  private final Map<Integer, Exchange> exchanges = new HashMap<>();
  /** Volatile, as the other fields are not: callers of other threads look whether the connection is usable. */
  private volatile String connectionProblem;

  private volatile boolean isGoingAway;

  private Http2Client(
      Http2ConnectionDecoder decoder, Http2ConnectionEncoder encoder, Http2Settings settings, Events events) {
    super(decoder, encoder, settings, false);
    events.client = this;
    decoder.frameListener(events);
    connection().addListener(events.ends);
  }

  static Http2Client create() {
    return new Builder().build();
  }

  private static final class Builder extends AbstractHttp2ConnectionHandlerBuilder<Http2Client, Builder> {
    private final Events events = new Events();

    @Override
    protected Http2Client build() {
      server(false);
      frameListener(events);
      validateHeaders(true);
      encoderEnforceMaxConcurrentStreams(true);
      gracefulShutdownTimeoutMillis(0);
      decoderEnforceMaxConsecutiveEmptyDataFrames(MAX_EMPTY_FRAMES);
      initialSettings(Http2Settings.defaultSettings().pushEnabled(false).maxHeaderListSize(MAX_HEADER_BYTES));
      return super.build();
    }

    @Override
    protected Http2Client build(
        Http2ConnectionDecoder decoder, Http2ConnectionEncoder encoder, Http2Settings settings) {
      return new Http2Client(decoder, encoder, settings, events);
    }
  }

  /** What the codec reads. */
  private static final class Events extends Http2EventAdapter {
    private Http2Client client;
    private final Http2ConnectionAdapter ends =
        new Http2ConnectionAdapter() {
          @Override
          public void onStreamClosed(Http2Stream stream) {
            client.closed(stream.id());
          }

          @Override
          public void onGoAwayReceived(int lastStreamId, long errorCode, ByteBuf debugData) {
            client.isGoingAway = true;
          }
        };

    @Override
    public void onHeadersRead(
        ChannelHandlerContext ctx, int streamId, Http2Headers headers, int padding, boolean isEnd) {
      Exchange exchange = client.exchanges.get(streamId);
      if (exchange != null) exchange.onHeaders(headers, isEnd);
    }

    @Override
    public void onHeadersRead(
        ChannelHandlerContext ctx,
        int streamId,
        Http2Headers headers,
        int streamDependency,
        short weight,
        boolean exclusive,
        int padding,
        boolean isEnd) {
      onHeadersRead(ctx, streamId, headers, padding, isEnd);
    }

    @Override
    public int onDataRead(ChannelHandlerContext ctx, int streamId, ByteBuf data, int padding, boolean isEnd) {
      Exchange exchange = client.exchanges.get(streamId);
      int bytes = data.readableBytes() + padding;
      if (exchange != null && !exchange.onData(data, isEnd)) client.reset(ctx, streamId);
      return bytes;
    }

    @Override
    public void onRstStreamRead(ChannelHandlerContext ctx, int streamId, long errorCode) {
      Exchange exchange = client.exchanges.get(streamId);
      if (exchange != null) exchange.onReset(errorCode);
    }
  }

  /** False also after GOAWAY. */
  boolean isUsable() {
    return !isGoingAway && connectionProblem == null;
  }

  /** Sends a request. Returns the stream's id; 0 if it could not be sent, which the exchange has then heard. */
  int send(ChannelHandlerContext ctx, Http2Headers headers, byte[] body, Exchange exchange) {
    int streamId = connection().local().incrementAndGetNextStreamId();
    if (streamId <= 0 || !isUsable()) {
      // The connection has used up its numbers.
      isGoingAway = true;
      exchange.breakOff(RawReply.Broken.UNREACHABLE, "the connection takes no more calls");
      return 0;
    }
    exchanges.put(streamId, exchange);
    ChannelPromise sent = ctx.newPromise();
    sent.addListener(
        future -> {
          if (!future.isSuccess()) unsent(streamId, future.cause());
        });
    encoder().writeHeaders(ctx, streamId, headers, 0, false, sent);
    encoder().writeData(ctx, streamId, Unpooled.wrappedBuffer(body), 0, true, ctx.newPromise());
    flush(ctx);
    return streamId;
  }

  private void unsent(int streamId, Throwable cause) {
    Exchange exchange = exchanges.remove(streamId);
    if (exchange != null) exchange.breakOff(RawReply.Broken.UNREACHABLE, Connection.describe(cause));
  }

  /** Gives a call up. */
  void cancel(ChannelHandlerContext ctx, int streamId) {
    if (exchanges.containsKey(streamId)) reset(ctx, streamId);
  }

  private void reset(ChannelHandlerContext ctx, int streamId) {
    exchanges.remove(streamId);
    encoder().writeRstStream(ctx, streamId, Http2Error.CANCEL.code(), ctx.newPromise());
    flush(ctx);
  }

  private void closed(int streamId) {
    Exchange exchange = exchanges.remove(streamId);
    if (exchange == null) return;
    if (connectionProblem == null) exchange.breakOff(RawReply.Broken.UNREACHABLE, "the connection was lost");
    else exchange.breakOff(RawReply.Broken.PROTOCOL, connectionProblem);
  }

  /** What arrived breaks HTTP/2's rules. */
  @Override
  protected void onStreamError(
      ChannelHandlerContext ctx, boolean outbound, Throwable cause, Http2Exception.StreamException error) {
    Exchange exchange = exchanges.get(error.streamId());
    if (exchange != null) exchange.breakOff(RawReply.Broken.PROTOCOL, Connection.describe(error));
    super.onStreamError(ctx, outbound, cause, error);
  }

  @Override
  protected void onConnectionError(
      ChannelHandlerContext ctx, boolean outbound, Throwable cause, Http2Exception error) {
    if (connectionProblem == null && error != null)
      connectionProblem =
          "the port does not speak HTTP/2 rightly (" + Connection.describe(error) + "); check that the URL names a gRPC port";
    super.onConnectionError(ctx, outbound, cause, error);
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) throws Exception {
    super.channelInactive(ctx);
    // Those that wait for a number of the server's permission have no stream yet.
    for (Integer streamId : exchanges.keySet().toArray(new Integer[0])) closed(streamId);
  }
}

package dev.datacrawl.internal.transport;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Executor;

/**
 * One HTTP/2 connection. Retired, it takes no new calls and closes when its last call has ended. Its state belongs to the event loop; the
 * methods may be called from any thread.
 */
final class Connection {
  private static final int CONNECT_TIMEOUT_MS = 20_000;
  private static final String LAST = "last";

  private final EventLoop loop;
  private final Target target;
  private final SslContext tls;
  private final List<Runnable> waiting = new ArrayList<>();
  private final Http2Client http2 = Http2Client.create();
  private Channel channel;
  private ChannelHandlerContext context;
  /** Why there is no connection; null before that is known. */
  private RawReply failure;
  private int calls;
  private volatile boolean isRetired;
  private volatile boolean isOver;
  private volatile long heard;

  /** @param tls null for a connection without TLS */
  Connection(EventLoop loop, Executor resolver, Target target, SslContext tls) {
    this.loop = loop;
    this.target = target;
    this.tls = tls;
    resolver.execute(this::resolve);
  }

  /** Whether new calls may go on it. */
  boolean isUsable() {
    return !isRetired && !isOver && http2.isUsable();
  }

  /** How many bytes have arrived, to tell a slow server from a silent one. */
  long heard() {
    return heard;
  }

  /** Sends a request as soon as there is a connection. Returns how to give it up. */
  Runnable send(Http2Headers headers, byte[] body, Exchange exchange) {
    int[] streamId = {0};
    boolean[] isCancelled = {false};
    run(
        () -> {
          calls++;
          exchange.reply.whenComplete((reply, error) -> run(this::left));
          Runnable start =
              () -> {
                if (isCancelled[0]) return;
                if (failure != null) exchange.reply.complete(failure);
                else streamId[0] = http2.send(context, headers, body, exchange);
              };
          if (context == null && failure == null) waiting.add(start);
          else start.run();
        });
    return () ->
        run(
            () -> {
              isCancelled[0] = true;
              if (streamId[0] > 0 && !isOver) http2.cancel(context, streamId[0]);
              exchange.breakOff(RawReply.Broken.UNREACHABLE, "the call was given up");
            });
  }

  private void left() {
    if (--calls == 0 && isRetired) close();
  }

  void retire() {
    isRetired = true;
    run(
        () -> {
          if (calls == 0) close();
        });
  }

  /** Ends it and the calls on it. */
  void close() {
    isRetired = true;
    run(
        () -> {
          fail("the connection was given up");
          if (channel != null) channel.close();
        });
  }

  private void resolve() {
    try {
      Iterator<SocketAddress> addresses = target.resolve().iterator();
      run(() -> connect(addresses));
    } catch (Exception error) {
      run(() -> fail(describe(error)));
    }
  }

  private void connect(Iterator<SocketAddress> addresses) {
    if (failure != null) return;
    // What an event loop runs after it has closed its channels could open one that nobody closes.
    if (loop.isShuttingDown()) {
      fail("the client was closed");
      return;
    }
    Bootstrap bootstrap = new Bootstrap().group(loop);
    if (target.isUnix()) bootstrap.channel(NioDomainSocketChannel.class);
    else
      bootstrap
          .channel(NioSocketChannel.class)
          .option(ChannelOption.TCP_NODELAY, true)
          .option(ChannelOption.SO_KEEPALIVE, true);
    bootstrap
        .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MS)
        .handler(
            new ChannelInitializer<Channel>() {
              @Override
              protected void initChannel(Channel fresh) {
                fresh.pipeline().addLast(new Counter());
                if (tls != null) fresh.pipeline().addLast(tls.newHandler(fresh.alloc(), target.host, target.port));
                fresh.pipeline().addLast(LAST, new Quiet());
              }
            });
    ChannelFuture connecting = bootstrap.connect(addresses.next());
    channel = connecting.channel();
    connecting.addListener(
        future -> {
          if (future.isSuccess()) secure();
          else if (addresses.hasNext()) connect(addresses);
          else fail(describe(future.cause()));
        });
  }

  private void secure() {
    SslHandler handler = channel.pipeline().get(SslHandler.class);
    if (handler == null) {
      open();
      return;
    }
    handler
        .handshakeFuture()
        .addListener(
            future -> {
              if (!future.isSuccess()) fail(describe(future.cause()));
              else if ("h2".equals(handler.applicationProtocol())) open();
              else fail("the server does not speak HTTP/2");
            });
  }

  private void open() {
    if (failure != null) return;
    // Before the first byte is read: this runs before the channel is announced as active, or within the handshake's last read.
    channel.pipeline().addBefore(LAST, "http2", http2);
    context = channel.pipeline().context(http2);
    channel.closeFuture().addListener(future -> fail("the connection was lost"));
    startWaiting();
  }

  private void fail(String problem) {
    if (failure == null) failure = RawReply.broken(RawReply.Broken.UNREACHABLE, problem);
    isOver = true;
    startWaiting();
    if (channel != null) channel.close();
  }

  private void startWaiting() {
    List<Runnable> starting = new ArrayList<>(waiting);
    waiting.clear();
    starting.forEach(Runnable::run);
  }

  private void run(Runnable task) {
    if (loop.inEventLoop()) task.run();
    else if (!loop.isShuttingDown()) loop.execute(task);
  }

  /** Counts what arrives, encrypted or not. */
  private final class Counter extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext ctx, Object read) {
      heard += ((ByteBuf) read).readableBytes();
      ctx.fireChannelRead(read);
    }
  }

  /** What fails is in the calls' verdicts; netty would log it a second time. */
  private static final class Quiet extends ChannelInboundHandlerAdapter {
    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      ctx.close();
    }
  }

  /** A failed socket, name look-up or handshake, for people. */
  static String describe(Throwable error) {
    return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
  }
}

package dev.datacrawl.internal.transport;

import dev.datacrawl.internal.call.Reply;
import io.netty.channel.EventLoop;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.ssl.SslContext;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** gRPC on one HTTP/2 connection at a time. Safe for threads. */
public final class GrpcTransport {
  /** A call that was sent. */
  public static final class Call {
    /** Never completes exceptionally. */
    public final CompletableFuture<Reply> reply;
    private final Connection connection;
    private final Runnable cancel;
    private final long heardBefore;

    private Call(CompletableFuture<Reply> reply, Connection connection, Runnable cancel, long heardBefore) {
      this.reply = reply;
      this.connection = connection;
      this.cancel = cancel;
      this.heardBefore = heardBefore;
    }

    /**
     * Gives the call up.
     *
     * @param isLate its time is over, so that a connection on which nothing was heard is not used again: a lost route would otherwise block it
     *     until TCP gives up
     */
    public void abandon(boolean isLate) {
      if (isLate && connection.heard() == heardBefore) connection.retire();
      cancel.run();
    }
  }

  private static final String PATH = "/datacrawl.authz.v1.AuthorizeService/";
  private static final String USER_AGENT = "datacrawl-java";
  private static final long MAX_TIMEOUT_MS = 99_999_999;

  private final EventLoop loop;
  private final Executor workers;
  private final Target target;
  private Connection current;
  private SslContext currentTls;

  public GrpcTransport(EventLoop loop, Executor workers, Target target) {
    this.loop = loop;
    this.workers = workers;
    this.target = target;
  }

  /** @param timeoutMs how long the caller waits from now, at least 1: the service is told */
  public Call send(Rpc rpc, Credentials credentials, long timeoutMs) {
    Connection connection = connectionFor(credentials.tls);
    Http2Headers headers =
        new DefaultHttp2Headers()
            .method("POST")
            .scheme(target.isSecure ? "https" : "http")
            .authority(target.authority())
            .path(PATH + rpc.method)
            .add("content-type", "application/grpc")
            .add("te", "trailers")
            .add("grpc-timeout", Math.min(timeoutMs, MAX_TIMEOUT_MS) + "m")
            .add("user-agent", USER_AGENT);
    if (credentials.authorization != null) headers.add("authorization", credentials.authorization);
    if (rpc.traceparent != null) headers.add("traceparent", rpc.traceparent);
    Exchange exchange = new Exchange();
    long heardBefore = connection.heard();
    Runnable cancel = connection.send(headers, GrpcFraming.envelope(rpc.message), exchange);
    return new Call(
        exchange.reply.thenApply(raw -> GrpcFraming.unframe(raw, rpc.streams)), connection, cancel, heardBefore);
  }

  /** Ends the connection and the calls on it. */
  public synchronized void close() {
    if (current != null) current.close();
  }

  private synchronized Connection connectionFor(SslContext tls) {
    if (current != null && current.isUsable() && currentTls == tls) return current;
    if (current != null) current.retire();
    current = new Connection(loop, workers, target, tls);
    currentTls = tls;
    return current;
  }
}

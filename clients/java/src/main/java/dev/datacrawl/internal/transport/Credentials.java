package dev.datacrawl.internal.transport;

import io.netty.handler.ssl.SslContext;

/** What proves who asks, as it goes with one attempt. */
public final class Credentials {
  /** The header; null without a key or token. */
  final String authorization;
  /** With the client's certificate, if there is one; null without TLS. Another certificate gets another connection. */
  final SslContext tls;

  Credentials(String authorization, SslContext tls) {
    this.authorization = authorization;
    this.tls = tls;
  }
}

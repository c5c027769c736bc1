package dev.datacrawl.internal.transport;

import io.netty.handler.ssl.SslContext;
import java.nio.file.Path;
import java.util.function.Supplier;
import java.util.regex.Pattern;

/** Where the credentials of each attempt come from: a key as it is, tokens and certificates as they are at that moment. */
public final class CredentialSource {
  /** As a header can hold it. */
  private static final Pattern TOKEN = Pattern.compile("[\\x21-\\x7e]{1,16384}");

  private final Supplier<String> bearer;
  private final ClientTls tls;
  private final Credentials fixed;

  private CredentialSource(Supplier<String> bearer, ClientTls tls, Credentials fixed) {
    this.bearer = bearer;
    this.tls = tls;
    this.fixed = fixed;
  }

  /**
   * @param apiKey null if there is none
   * @param token null if there is none
   * @param tls null without TLS
   */
  public static CredentialSource of(String apiKey, Supplier<String> token, ClientTls tls) {
    Supplier<String> bearer = apiKey != null ? () -> apiKey : token;
    boolean isFixed = token == null && (tls == null || !tls.hasCertificate());
    Credentials fixed = isFixed ? new Credentials(header(apiKey), tls == null ? null : tls.withoutCertificate()) : null;
    return new CredentialSource(bearer, tls, fixed);
  }

  private static String header(String bearer) {
    return bearer == null ? null : "Bearer " + bearer;
  }

  /** Null if they may change, and must be read. */
  public Credentials fixed() {
    return fixed;
  }

  /** May block. Throws a problem whose message never holds what was read. */
  public Credentials read() throws CannotAsk {
    SslContext context = tls == null ? null : tls.current();
    return new Credentials(bearer == null ? null : header(token()), context);
  }

  private String token() throws CannotAsk {
    String token;
    try {
      token = bearer.get();
    } catch (Throwable error) {
      // Not its message: what somebody else's code says may hold the token.
      throw new CannotAsk("the token cannot be had (" + error.getClass().getName() + ")");
    }
    String text = token == null ? "" : token.trim();
    if (!TOKEN.matcher(text).matches())
      throw new CannotAsk("the token must be up to 16384 visible characters of ASCII");
    return text;
  }

  /** The agent cannot say who it is. */
  public static final class CannotAsk extends Exception {
    private static final long serialVersionUID = 1L;

    CannotAsk(String problem) {
      super(problem, null, false, false);
    }
  }

  /** What to read a certificate from: its chain and its key, in PEM. */
  public static final class CertificateFiles {
    final Path certificate;
    final Path key;

    public CertificateFiles(Path certificate, Path key) {
      this.certificate = certificate;
      this.key = key;
    }
  }
}

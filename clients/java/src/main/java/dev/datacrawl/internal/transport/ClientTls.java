package dev.datacrawl.internal.transport;

import dev.datacrawl.internal.transport.CredentialSource.CannotAsk;
import dev.datacrawl.internal.transport.CredentialSource.CertificateFiles;
import io.netty.handler.ssl.ApplicationProtocolConfig;
import io.netty.handler.ssl.ApplicationProtocolNames;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * TLS 1.2 or later, with the server's certificate always verified. The files of a client certificate are read for each attempt, because they
 * are replaced while programs run; while they cannot be read, or do not belong together, the last pair stays.
 */
public final class ClientTls {
  private static final Pattern KEY =
      Pattern.compile("-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\\s]+)-----END PRIVATE KEY-----");

  private final X509Certificate[] authorities;
  private final CertificateFiles files;
  private final SslContext plain;
  private byte[] lastCertificate;
  private byte[] lastKey;
  private SslContext last;

  /**
   * @param ca a file of certificate authorities in PEM; null: the system's
   * @param files null without a client certificate
   * @throws IOException if the authorities cannot be read
   * @throws GeneralSecurityException if they are not certificates
   */
  public ClientTls(Path ca, CertificateFiles files) throws IOException, GeneralSecurityException {
    authorities = ca == null ? null : certificates(Files.readAllBytes(ca));
    this.files = files;
    plain = builder().build();
  }

  private SslContextBuilder builder() throws IOException {
    SslContextBuilder builder =
        SslContextBuilder.forClient()
            // The JDK's: OpenSSL would be taken where some other library has brought it.
            .sslProvider(SslProvider.JDK)
            .protocols("TLSv1.3", "TLSv1.2")
            .endpointIdentificationAlgorithm("HTTPS")
            .applicationProtocolConfig(
                new ApplicationProtocolConfig(
                    ApplicationProtocolConfig.Protocol.ALPN,
                    ApplicationProtocolConfig.SelectorFailureBehavior.NO_ADVERTISE,
                    ApplicationProtocolConfig.SelectedListenerFailureBehavior.ACCEPT,
                    ApplicationProtocolNames.HTTP_2));
    return authorities == null ? builder : builder.trustManager(authorities);
  }

  /** Reads the client certificate, so that what is wrong from the start is said at the start. */
  public void check() throws CannotAsk {
    current();
  }

  boolean hasCertificate() {
    return files != null;
  }

  SslContext withoutCertificate() {
    return plain;
  }

  /** The context of this moment: the same object as long as the files say the same. */
  synchronized SslContext current() throws CannotAsk {
    if (files == null) return plain;
    try {
      byte[] certificate = Files.readAllBytes(files.certificate);
      byte[] key = Files.readAllBytes(files.key);
      if (Arrays.equals(certificate, lastCertificate) && Arrays.equals(key, lastKey)) return last;
      SslContext made = withPair(certificates(certificate), privateKey(key));
      lastCertificate = certificate;
      lastKey = key;
      last = made;
    } catch (IOException | GeneralSecurityException | RuntimeException error) {
      if (last == null)
        throw new CannotAsk("the client certificate cannot be used (" + error.getClass().getSimpleName() + ")");
    }
    return last;
  }

  private SslContext withPair(X509Certificate[] chain, PrivateKey key) throws IOException, GeneralSecurityException {
    if (!belongTogether(chain[0], key)) throw new GeneralSecurityException("the key is not the certificate's");
    return builder().keyManager(key, chain).build();
  }

  private static X509Certificate[] certificates(byte[] pem) throws GeneralSecurityException {
    X509Certificate[] chain =
        CertificateFactory.getInstance("X.509")
            .generateCertificates(new ByteArrayInputStream(pem))
            .toArray(new X509Certificate[0]);
    if (chain.length == 0) throw new GeneralSecurityException("the file holds no certificate");
    return chain;
  }

  /** A key in PKCS 8 without a password, which is what openssl writes. */
  private static PrivateKey privateKey(byte[] pem) throws GeneralSecurityException {
    Matcher found = KEY.matcher(new String(pem, StandardCharsets.ISO_8859_1));
    if (!found.find()) throw new GeneralSecurityException("the file holds no private key in PKCS 8 without a password");
    PKCS8EncodedKeySpec spec = new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(found.group(1)));
    for (String algorithm : new String[] {"RSA", "EC", "Ed25519"}) {
      try {
        return KeyFactory.getInstance(algorithm).generatePrivate(spec);
      } catch (GeneralSecurityException error) {
        // The next one.
      }
    }
    throw new GeneralSecurityException("the private key is neither RSA, nor EC, nor Ed25519");
  }

  private static boolean belongTogether(X509Certificate certificate, PrivateKey key) throws GeneralSecurityException {
    String algorithm = key.getAlgorithm();
    Signature signature =
        Signature.getInstance(
            algorithm.equals("RSA") ? "SHA256withRSA" : algorithm.equals("EC") ? "SHA256withECDSA" : "Ed25519");
    signature.initSign(key);
    byte[] signed = signature.sign();
    try {
      signature.initVerify(certificate.getPublicKey());
      return signature.verify(signed);
    } catch (GeneralSecurityException error) {
      // A key of another kind.
      return false;
    }
  }
}

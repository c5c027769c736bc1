package dev.datacrawl.internal;

import dev.datacrawl.Verdict;
import dev.datacrawl.internal.transport.ClientTls;
import dev.datacrawl.internal.transport.CredentialSource;
import dev.datacrawl.internal.transport.Target;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A client's options, checked. */
public final class Settings {
  public static final Pattern TRACEPARENT = Pattern.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}");

  private static final String DEFAULT_URL = "http://127.0.0.1:7440";
  private static final String AGENT_ID = "[a-z0-9][a-z0-9.-]{0,62}";
  private static final Pattern API_KEY = Pattern.compile("dc_agent_(" + AGENT_ID + ")_[0-9a-f]{12}_[0-9a-f]{64}");
  private static final Pattern LOOPBACK = Pattern.compile("localhost|::1|127(\\.\\d{1,3}){3}");
  private static final Duration MAX_TIMEOUT = Duration.ofMinutes(10);
  private static final Duration MAX_PROBE_AFTER = Duration.ofHours(1);
  private static final Duration SHORTEST = Duration.ofMillis(1);

  public final Target target;
  /** Empty if only the sidecar knows it. */
  public final String agentId;
  public final boolean isSidecar;
  public final Duration timeout;
  public final int circuitFailures;
  public final Duration circuitProbeAfter;
  public final BiConsumer<Verdict, String> onVerdict;
  public final System.Logger logger;
  public final Supplier<String> traceparent;
  private final String apiKey;
  private final Supplier<String> token;
  private final ClientTls tls;

  /** The options as they were given; null is not given. */
  public static final class Given {
    public String url;
    public String sidecar;
    public String apiKey;
    public Supplier<String> token;
    public Path certificate;
    public Path certificateKey;
    public String agentId;
    public Path ca;
    public Duration timeout = Duration.ofSeconds(5);
    public int circuitFailures = 5;
    public Duration circuitProbeAfter = Duration.ofSeconds(30);
    public BiConsumer<Verdict, String> onVerdict = (verdict, tool) -> {};
    public System.Logger logger = System.getLogger("dev.datacrawl");
    public Supplier<String> traceparent = () -> null;
  }

  /** @throws IllegalArgumentException naming every problem */
  public static Settings read(Given given, Map<String, String> environment) {
    List<String> problems = new ArrayList<>();
    Settings settings = new Settings(given, environment, problems);
    if (!problems.isEmpty()) throw new IllegalArgumentException(String.join("; ", problems));
    return settings;
  }

  private Settings(Given given, Map<String, String> environment, List<String> problems) {
    String sidecar = given.sidecar;
    if (sidecar == null && given.url == null) sidecar = orNull(environment.get("DATACRAWL_SIDECAR"));
    isSidecar = sidecar != null;
    if (given.sidecar != null && given.url != null)
      problems.add("sidecar replaces url: give only one of them");
    String url = given.url != null ? given.url : environment.getOrDefault("DATACRAWL_URL", DEFAULT_URL);
    target = isSidecar ? sidecarTarget(sidecar, problems) : serviceTarget(url, problems);
    timeout = checked("timeout", given.timeout, MAX_TIMEOUT, problems);
    circuitProbeAfter = checked("circuitProbeAfter", given.circuitProbeAfter, MAX_PROBE_AFTER, problems);
    circuitFailures = given.circuitFailures;
    if (circuitFailures < 1) problems.add("circuitFailures must be at least 1, is " + circuitFailures);
    onVerdict = required("onVerdict", given.onVerdict, problems);
    logger = required("logger", given.logger, problems);
    traceparent = required("traceparent", given.traceparent, problems);

    Given proof = isSidecar || hasProof(given) ? given : fromEnvironment(environment, problems);
    token = proof.token;
    apiKey = token == null ? proof.apiKey : null;
    if (proof.token != null && proof.apiKey != null)
      problems.add("token (or DATACRAWL_TOKEN_FILE) replaces apiKey: give only one of them");
    boolean hasCertificate = proof.certificate != null || proof.certificateKey != null;
    agentId = readAgentId(given, proof, hasCertificate, environment, problems);
    tls = readTls(given.ca, proof, hasCertificate, problems);
  }

  private static boolean hasProof(Given given) {
    return given.apiKey != null || given.token != null || given.certificate != null;
  }

  private static Given fromEnvironment(Map<String, String> environment, List<String> problems) {
    Given proof = new Given();
    proof.apiKey = orNull(environment.get("DATACRAWL_API_KEY"));
    String tokenFile = orNull(environment.get("DATACRAWL_TOKEN_FILE"));
    if (tokenFile != null) {
      Path path = Path.of(tokenFile);
      if (!Files.isReadable(path)) problems.add("token (or DATACRAWL_TOKEN_FILE) is " + path + ", which cannot be read");
      proof.token = () -> read(path);
    }
    String certificate = orNull(environment.get("DATACRAWL_CLIENT_CERT_FILE"));
    String key = orNull(environment.get("DATACRAWL_CLIENT_KEY_FILE"));
    if (certificate != null || key != null) {
      proof.certificate = Path.of(certificate == null ? "" : certificate);
      proof.certificateKey = Path.of(key == null ? "" : key);
    }
    return proof;
  }

  private static String read(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
  }

  private String readAgentId(
      Given given, Given proof, boolean hasCertificate, Map<String, String> environment, List<String> problems) {
    String named = given.agentId;
    if (named == null && given.apiKey == null) named = orNull(environment.get("DATACRAWL_AGENT_ID"));
    if (named != null && !named.matches(AGENT_ID))
      problems.add("agentId (or DATACRAWL_AGENT_ID) must be an agent's id, is " + named);
    if (apiKey != null || token == null && !hasCertificate && !isSidecar) {
      Matcher key = API_KEY.matcher(apiKey == null ? "" : apiKey);
      if (!key.matches()) {
        problems.add("apiKey (or DATACRAWL_API_KEY) must be dc_agent_<agent id>_<key id>_<secret>");
        return "";
      }
      if (named != null && !named.equals(key.group(1)))
        problems.add("agentId (or DATACRAWL_AGENT_ID) must be " + key.group(1) + ", the agent of the key");
      return key.group(1);
    }
    if (named == null && !isSidecar)
      problems.add("agentId (or DATACRAWL_AGENT_ID) must be the agent that the token or the certificate names");
    return named == null ? "" : named;
  }

  private ClientTls readTls(Path ca, Given proof, boolean hasCertificate, List<String> problems) {
    boolean isSecure = target != null && target.isSecure;
    if (hasCertificate && (proof.certificate == null || proof.certificateKey == null))
      problems.add("clientCertificate (or DATACRAWL_CLIENT_CERT_FILE) needs a certificate and its key");
    if (hasCertificate && target != null && !isSecure)
      problems.add("clientCertificate (or DATACRAWL_CLIENT_CERT_FILE) needs a URL that begins with https://");
    if (!isSecure && ca == null) return null;
    try {
      CredentialSource.CertificateFiles files =
          hasCertificate ? new CredentialSource.CertificateFiles(proof.certificate, proof.certificateKey) : null;
      ClientTls read = new ClientTls(ca, files);
      if (hasCertificate) read.check();
      return isSecure ? read : null;
    } catch (IOException | GeneralSecurityException | RuntimeException error) {
      problems.add("ca must name a file of certificates in PEM, is " + ca + " (" + error.getClass().getSimpleName() + ")");
    } catch (CredentialSource.CannotAsk error) {
      problems.add(
          "clientCertificate (or DATACRAWL_CLIENT_CERT_FILE, DATACRAWL_CLIENT_KEY_FILE) must name a certificate and its key in PEM: "
              + error.getMessage());
    }
    return null;
  }

  /** What proves who asks: nothing to a sidecar, unless something was given. */
  public CredentialSource credentials() {
    return CredentialSource.of(apiKey, token, tls);
  }

  private static Target serviceTarget(String url, List<String> problems) {
    URI uri = uriOf(url);
    boolean isOrigin =
        uri != null
            && ("http".equals(uri.getScheme()) || "https".equals(uri.getScheme()))
            && uri.getHost() != null
            && uri.getRawUserInfo() == null
            && uri.getRawQuery() == null
            && uri.getRawFragment() == null
            && (uri.getRawPath().isEmpty() || uri.getRawPath().equals("/"));
    if (!isOrigin) {
      problems.add("url (or DATACRAWL_URL) must be http:// or https:// with a host and a port, and nothing else");
      return null;
    }
    boolean isSecure = uri.getScheme().equals("https");
    String host = withoutBrackets(uri.getHost());
    int port = uri.getPort() >= 0 ? uri.getPort() : isSecure ? 443 : 80;
    if (port > 65535) problems.add("url (or DATACRAWL_URL) must have a port up to 65535, has " + port);
    if (!isSecure && !LOOPBACK.matcher(host).matches())
      problems.add("url (or DATACRAWL_URL) must be https://, since " + host + " is not this machine");
    return Target.tcp(isSecure, host, port);
  }

  private static Target sidecarTarget(String address, List<String> problems) {
    if (address.startsWith("unix:/")) {
      try {
        return Target.unix(Path.of(address.substring("unix:".length())));
      } catch (RuntimeException error) {
        problems.add("sidecar (or DATACRAWL_SIDECAR) is " + address + ": " + error.getMessage());
        return null;
      }
    }
    URI uri = uriOf(address.startsWith("http://") ? address : "http://" + address);
    boolean isAddress =
        uri != null && uri.getHost() != null && uri.getPort() > 0 && uri.getPort() <= 65535 && uri.getRawPath().length() <= 1;
    if (!isAddress || !LOOPBACK.matcher(withoutBrackets(uri.getHost())).matches()) {
      problems.add(
          "sidecar (or DATACRAWL_SIDECAR) must be a host and port of this machine, such as 127.0.0.1:7443, or unix:/path, is " + address);
      return null;
    }
    return Target.tcp(false, withoutBrackets(uri.getHost()), uri.getPort());
  }

  private static URI uriOf(String text) {
    try {
      return new URI(text);
    } catch (URISyntaxException error) {
      return null;
    }
  }

  private static String withoutBrackets(String host) {
    return host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
  }

  private static Duration checked(String option, Duration given, Duration max, List<String> problems) {
    if (given == null || given.compareTo(SHORTEST) < 0 || given.compareTo(max) > 0)
      problems.add(option + " must be from 1 ms to " + max + ", is " + given);
    return given;
  }

  private static <T> T required(String option, T given, List<String> problems) {
    if (given == null) problems.add(option + " must not be null");
    return given;
  }

  private static String orNull(String text) {
    return text == null || text.isEmpty() ? null : text;
  }
}

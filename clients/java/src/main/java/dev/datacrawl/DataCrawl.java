package dev.datacrawl;

import dev.datacrawl.internal.Settings;
import dev.datacrawl.internal.call.Deadline;
import dev.datacrawl.internal.call.End;
import dev.datacrawl.internal.call.Guard;
import dev.datacrawl.internal.call.Ids;
import dev.datacrawl.internal.call.Question;
import dev.datacrawl.internal.call.Refusal;
import dev.datacrawl.internal.circuit.Breaker;
import dev.datacrawl.internal.circuit.Timing;
import dev.datacrawl.internal.json.NotJson;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Asks the service for one agent, and denies on every failure. Make one for each agent in a process and keep it: it owns the circuit and the
 * connection. Safe for threads.
 *
 * <pre>{@code
 * try (DataCrawl dc = DataCrawl.builder().url("https://authz.internal:7440").apiKey(key).build()) {
 *   Verdict verdict = dc.authorize(AuthorizeRequest.of("gmail.send_email", payload, "send-" + messageId));
 *   if (verdict.allowed()) sendEmail(payload);
 * }
 * }</pre>
 */
public final class DataCrawl implements Authorizer, AutoCloseable {
  private static final Duration MAX_TIMEOUT = Duration.ofMinutes(10);
  private static final Duration MAX_WAIT = Duration.ofDays(7);
  /** How long a blocked caller waits for the deadline to be noticed, before it goes by itself. */
  private static final double GRACE_MS = 5;

  private final Settings settings;
  private final Breaker breaker;
  private Guard guard;
  private boolean isClosed;

  private DataCrawl(Settings settings) {
    this.settings = settings;
    Timing timing = new Timing(settings.circuitFailures, settings.circuitProbeAfter.toMillis());
    breaker = new Breaker(timing, Deadline::now, Ids::fraction);
  }

  /** A builder of a client. */
  public static Builder builder() {
    return new Builder();
  }

  @Override
  public Verdict authorize(AuthorizeRequest request, CallOptions options) {
    return told(blocking(authorizing(request, options)), request);
  }

  @Override
  public CompletableFuture<Verdict> authorizeAsync(AuthorizeRequest request, CallOptions options) {
    return async(authorizing(request, options), verdict -> told(verdict, request));
  }

  private Call<Verdict> authorizing(AuthorizeRequest request, CallOptions options) {
    return new Call<>(
        options,
        settings.timeout,
        MAX_TIMEOUT,
        (open, deadline) -> {
          Question question;
          try {
            question = Question.of(request, settings.agentId);
          } catch (NotJson error) {
            return CompletableFuture.completedFuture(refused(error.getMessage()));
          } catch (Throwable error) {
            // A map of the caller's may throw anything.
            return CompletableFuture.completedFuture(refused("The request could not be read."));
          }
          return open.authorize(question, deadline, traceparent(options));
        },
        (reason, message) -> Guard.denied(reason, message, refusalOf(reason)).build());
  }

  @Override
  public Verdict waitForReview(String decisionId, Duration timeout) {
    return blocking(waiting(decisionId, timeout));
  }

  @Override
  public CompletableFuture<Verdict> waitForReviewAsync(String decisionId, Duration timeout) {
    return async(waiting(decisionId, timeout), Function.identity());
  }

  private Call<Verdict> waiting(String decisionId, Duration timeout) {
    String id = decisionId == null ? "" : decisionId;
    return new Call<>(
        CallOptions.timeout(timeout),
        null,
        MAX_WAIT,
        (open, deadline) -> open.waitForReview(id, deadline),
        (reason, message) -> {
          Verdict.Builder verdict = Guard.denied(reason, message, refusalOf(reason));
          return (id.isEmpty() ? verdict : verdict.decisionId(id)).build();
        });
  }

  @Override
  public Start begin(Verdict verdict, CallOptions options) {
    return blocking(beginning(verdict, options));
  }

  @Override
  public CompletableFuture<Start> beginAsync(Verdict verdict, CallOptions options) {
    return async(beginning(verdict, options), Function.identity());
  }

  private Call<Start> beginning(Verdict verdict, CallOptions options) {
    String decisionId = verdict == null ? "" : verdict.decisionId();
    BiFunction<Reason, String, Start> refuse =
        (reason, message) ->
            Start.refused(message, decisionId, Source.GUARD, reason.name(), codeOf(reason), null);
    return new Call<>(
        options,
        settings.timeout,
        MAX_TIMEOUT,
        (open, deadline) ->
            verdict == null || !verdict.allowed()
                ? CompletableFuture.completedFuture(
                    refuse.apply(Reason.REQUEST_REFUSED, "The verdict is not an allow."))
                : open.begin(decisionId, deadline, traceparent(options)),
        refuse);
  }

  @Override
  public Reported report(Start execution, ExecutionReport report, CallOptions options) {
    return blocking(reporting(execution, report, options));
  }

  @Override
  public CompletableFuture<Reported> reportAsync(Start execution, ExecutionReport report, CallOptions options) {
    return async(reporting(execution, report, options), Function.identity());
  }

  private Call<Reported> reporting(Start execution, ExecutionReport report, CallOptions options) {
    BiFunction<Reason, String, Reported> refuse =
        (reason, message) -> Reported.notRecorded(reason, message, codeOf(reason), null);
    return new Call<>(
        options,
        settings.timeout,
        MAX_TIMEOUT,
        (open, deadline) ->
            execution == null || !execution.started() || report == null
                ? CompletableFuture.completedFuture(
                    refuse.apply(Reason.REQUEST_REFUSED, "The execution was not started by this call, or there is no report."))
                : open.report(execution, report, deadline, traceparent(options)),
        refuse);
  }

  /** The circuit now. */
  public CircuitSnapshot circuit() {
    return breaker.snapshot();
  }

  @Override
  public void warn(String message) {
    try {
      settings.logger.log(System.Logger.Level.WARNING, message);
    } catch (Throwable error) {
      // A logger that fails must not change a verdict.
    }
  }

  /** Ends what is under way with denies, closes connections and threads. Every later verdict is a deny. Does not throw. */
  @Override
  public void close() {
    Guard open;
    synchronized (this) {
      isClosed = true;
      open = guard;
      guard = null;
    }
    if (open != null) open.close();
  }

  /** Null if this client is closed. */
  private synchronized Guard open() {
    if (guard == null && !isClosed)
      guard = new Guard(settings.target, settings.credentials(), settings.agentId, settings.isSidecar, breaker);
    return guard;
  }

  /** One call, blocking or not: how to make it, and what it comes to if it cannot be made. */
  private static final class Call<T> {
    final CallOptions options;
    final Duration defaultTimeout;
    final Duration maxTimeout;
    final BiFunction<Guard, Deadline, CompletableFuture<T>> make;
    final BiFunction<Reason, String, T> deny;

    Call(
        CallOptions options,
        Duration defaultTimeout,
        Duration maxTimeout,
        BiFunction<Guard, Deadline, CompletableFuture<T>> make,
        BiFunction<Reason, String, T> deny) {
      this.options = options;
      this.defaultTimeout = defaultTimeout;
      this.maxTimeout = maxTimeout;
      this.make = make;
      this.deny = deny;
    }

    /** Null if the timeout is wrong. */
    Duration timeout() {
      boolean isGiven = options != null && options.timeout() != null;
      Duration timeout = isGiven ? options.timeout() : defaultTimeout;
      boolean isGood = timeout != null && timeout.compareTo(Duration.ofMillis(1)) >= 0 && timeout.compareTo(maxTimeout) <= 0;
      return isGood ? timeout : null;
    }

    T wrongTimeout() {
      return deny.apply(Reason.REQUEST_REFUSED, "The timeout must be from 1 ms to " + maxTimeout + ".");
    }
  }

  private <T> T blocking(Call<T> call) {
    Deadline deadline = null;
    Guard open = null;
    try {
      Duration timeout = call.timeout();
      if (timeout == null) return call.wrongTimeout();
      double at = Deadline.now() + timeout.toNanos() / 1e6;
      open = open();
      if (open == null) return call.deny.apply(Reason.SERVICE_UNAVAILABLE, "The client is closed.");
      deadline = open.deadline(at);
      CompletableFuture<T> made = call.make.apply(open, deadline);
      return made.get((long) ((Math.max(0, deadline.leftMs()) + GRACE_MS) * 1e6), TimeUnit.NANOSECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      deadline.cancel();
      return call.deny.apply(Reason.DEADLINE_EXCEEDED, "The caller was interrupted before there was an answer.");
    } catch (TimeoutException error) {
      deadline.expire();
      return call.deny.apply(Reason.DEADLINE_EXCEEDED, "There was no answer before the deadline.");
    } catch (ExecutionException error) {
      return call.deny.apply(failure(error.getCause()), "The client failed.");
    } catch (Throwable error) {
      return call.deny.apply(failure(error), "The client failed.");
    } finally {
      if (deadline != null) open.done(deadline);
    }
  }

  private <T> CompletableFuture<T> async(Call<T> call, Function<T, T> conclude) {
    Duration timeout;
    Guard open;
    Deadline deadline;
    CompletableFuture<T> made;
    try {
      timeout = call.timeout();
      if (timeout == null) return CompletableFuture.completedFuture(conclude.apply(call.wrongTimeout()));
      double at = Deadline.now() + timeout.toNanos() / 1e6;
      open = open();
      if (open == null)
        return CompletableFuture.completedFuture(
            conclude.apply(call.deny.apply(Reason.SERVICE_UNAVAILABLE, "The client is closed.")));
      deadline = open.deadline(at);
      made = call.make.apply(open, deadline);
    } catch (Throwable error) {
      return CompletableFuture.completedFuture(conclude.apply(call.deny.apply(failure(error), "The client failed.")));
    }
    CompletableFuture<T> result = new CompletableFuture<>();
    result.whenComplete(
        (value, error) -> {
          if (result.isCancelled()) deadline.cancel();
        });
    made.whenComplete(
        (value, error) -> {
          open.done(deadline);
          T ended = error == null ? value : call.deny.apply(failure(error), "The client failed.");
          // Not on the connection's thread: what is chained to the future may block.
          runOn(open, () -> result.complete(conclude.apply(ended)));
        });
    return result;
  }

  private static void runOn(Guard open, Runnable task) {
    try {
      open.workers().execute(task);
    } catch (RejectedExecutionException error) {
      task.run();
    }
  }

  /** An error that should not exist. What it was about was not allowed. */
  private Reason failure(Throwable error) {
    warn("the client failed: " + error);
    return Reason.REQUEST_REFUSED;
  }

  private static Verdict refused(String message) {
    return Guard.denied(Reason.REQUEST_REFUSED, message, Refusal.NOT_A_REQUEST).build();
  }

  private static Refusal refusalOf(Reason reason) {
    return reason == Reason.REQUEST_REFUSED ? Refusal.NOT_A_REQUEST : null;
  }

  private static RefusalCode codeOf(Reason reason) {
    return reason == Reason.REQUEST_REFUSED ? RefusalCode.BAD_REQUEST : null;
  }

  private String traceparent(CallOptions options) {
    String given = options == null ? null : options.traceparent();
    if (given == null) {
      try {
        given = settings.traceparent.get();
      } catch (Throwable error) {
        warn("the supplier of the traceparent failed: " + error.getClass().getName());
      }
    }
    return given != null && Settings.TRACEPARENT.matcher(given).matches() ? given : null;
  }

  /** A hook that fails must not change the verdict. */
  private Verdict told(Verdict verdict, AuthorizeRequest request) {
    try {
      settings.onVerdict.accept(verdict, request == null ? null : request.tool());
    } catch (Throwable error) {
      warn("onVerdict failed: " + error.getClass().getName());
    }
    return verdict;
  }

  /** Makes a {@link DataCrawl}. Only the credential has no default. */
  public static final class Builder {
    private final Settings.Given given = new Settings.Given();

    private Builder() {}

    /** The service, as {@code https://host:port}, or {@code http://host:port} on this machine. Default: {@code DATACRAWL_URL}, else {@code http://127.0.0.1:7440}. */
    public Builder url(String url) {
      given.url = url;
      return this;
    }

    /**
     * A sidecar on this machine instead of the service: {@code 127.0.0.1:7443}, or {@code unix:/path} on Java 16 or later. It brings the shared
     * circuit, the bypass and the journal, and needs no credential. Default: {@code DATACRAWL_SIDECAR}, else none.
     */
    public Builder sidecar(String address) {
      given.sidecar = address;
      return this;
    }

    /** The agent's key, {@code dc_agent_…}. Default: {@code DATACRAWL_API_KEY}, unless there is a token or a certificate. */
    public Builder apiKey(String apiKey) {
      given.apiKey = apiKey;
      return this;
    }

    /**
     * Instead of a key: returns the agent's JWT. Called before each attempt, on a thread of the client's, so it should keep the token until shortly
     * before it expires. Default: reads the file {@code DATACRAWL_TOKEN_FILE} each time.
     */
    public Builder token(Supplier<String> token) {
      given.token = token;
      return this;
    }

    /**
     * A client certificate with its chain, and its key in PKCS 8, as PEM files that are read before each attempt; instead of a key or a token, or
     * beside one. Needs {@code https}. Default: {@code DATACRAWL_CLIENT_CERT_FILE} and {@code DATACRAWL_CLIENT_KEY_FILE}.
     */
    public Builder clientCertificate(Path certificate, Path key) {
      given.certificate = certificate;
      given.certificateKey = key;
      return this;
    }

    /** The agent that the token or the certificate names, or the sidecar's; a key contains it. Default: {@code DATACRAWL_AGENT_ID}. */
    public Builder agentId(String agentId) {
      given.agentId = agentId;
      return this;
    }

    /** A file of certificate authorities in PEM to trust instead of the system's. Certificates are always verified. */
    public Builder ca(Path pem) {
      given.ca = pem;
      return this;
    }

    /** How long a verdict may take: 1 ms to 10 minutes, default 5 s. Below 1 s a service that is only slow never opens the circuit. */
    public Builder timeout(Duration timeout) {
      given.timeout = timeout;
      return this;
    }

    /** Consecutive failed calls that open the circuit; from 1, default 5. */
    public Builder circuitFailures(int failures) {
      given.circuitFailures = failures;
      return this;
    }

    /** From the opening of the circuit, or from a failed probe, to the next probe: 1 ms to an hour, default 30 s. */
    public Builder circuitProbeAfter(Duration delay) {
      given.circuitProbeAfter = delay;
      return this;
    }

    /** Called with each verdict of {@code authorize} and {@code protect}, and the tool. What it throws is logged and changes nothing. */
    public Builder onVerdict(BiConsumer<Verdict, String> hook) {
      given.onVerdict = hook;
      return this;
    }

    /** Where warnings go. Default: the logger {@code dev.datacrawl}. */
    public Builder logger(System.Logger logger) {
      given.logger = logger;
      return this;
    }

    /** Returns the W3C {@code traceparent} of the active span, or null. */
    public Builder traceparent(Supplier<String> traceparent) {
      given.traceparent = traceparent;
      return this;
    }

    /**
     * The client. Connects with the first call.
     *
     * @throws IllegalArgumentException naming every wrong option; never with a credential in it
     */
    public DataCrawl build() {
      return build(System.getenv());
    }

    /** The same with another environment. */
    DataCrawl build(Map<String, String> environment) {
      return new DataCrawl(Settings.read(given, environment));
    }
  }
}

package dev.datacrawl;

import java.time.Duration;
import java.util.Map;
import java.util.function.Function;

/** How an action is protected. Immutable. */
public final class ProtectOptions {
  /** A derived key, once, and a deny where people would have to decide. */
  public static final ProtectOptions DEFAULT = builder().build();

  final Function<Map<String, Object>, String> key;
  final String principal;
  final String sessionId;
  final CallOptions call;
  final Duration waitForReview;
  final boolean once;
  final boolean runIfAlreadyStarted;

  private ProtectOptions(Builder builder) {
    key = builder.key;
    principal = builder.principal;
    sessionId = builder.sessionId;
    call = builder.call;
    waitForReview = builder.waitForReview;
    once = builder.once;
    runIfAlreadyStarted = builder.runIfAlreadyStarted;
  }

  /** A builder of options. */
  public static Builder builder() {
    return new Builder();
  }

  /** Makes {@link ProtectOptions}. */
  public static final class Builder {
    private Function<Map<String, Object>, String> key = payload -> null;
    private String principal;
    private String sessionId;
    private CallOptions call = CallOptions.DEFAULT;
    private Duration waitForReview;
    private boolean once = true;
    private boolean runIfAlreadyStarted;

    private Builder() {}

    /** The idempotency key for a payload. Default: derived from agent, tool, payload and principal. */
    public Builder key(Function<Map<String, Object>, String> key) {
      this.key = key;
      return this;
    }

    /** The person or service on whose behalf the agent acts. */
    public Builder principal(String principal) {
      this.principal = principal;
      return this;
    }

    /** The run or conversation. */
    public Builder sessionId(String sessionId) {
      this.sessionId = sessionId;
      return this;
    }

    /** How long the verdict, the start and the report may take each. Default: the client's timeout. */
    public Builder timeout(Duration timeout) {
      this.call = CallOptions.timeout(timeout);
      return this;
    }

    /** Waits for people as long as this where they have to decide, and then runs or throws. Default: throws at once. */
    public Builder waitForReview(Duration timeout) {
      this.waitForReview = timeout;
      return this;
    }

    /**
     * True (default): an allowed action runs once. It is started with the service before it runs, and its outcome is reported. False: it runs as
     * often as it is allowed, which is for 24 hours under the same key.
     */
    public Builder once(boolean once) {
      this.once = once;
      return this;
    }

    /** Runs an action that was started before again, unreported: for tools that are idempotent by themselves. */
    public Builder runIfAlreadyStarted(boolean run) {
      this.runIfAlreadyStarted = run;
      return this;
    }

    /** The options. */
    public ProtectOptions build() {
      return new ProtectOptions(this);
    }
  }
}

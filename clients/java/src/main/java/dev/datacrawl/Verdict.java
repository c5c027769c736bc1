package dev.datacrawl;

import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;

/** The answer to "may this agent do this?". Immutable. Act only if {@link #allowed} is true. */
public final class Verdict {
  private final Reason reason;
  private final String message;
  private final RefusalCode code;
  private final Duration retryAfter;
  private final String decisionId;
  private final String policyVersion;
  private final String ruleId;
  private final boolean replayed;
  private final Source source;
  private final Instant decidedAt;
  private final String tool;
  private final String idempotencyKey;

  private Verdict(Builder builder) {
    reason = builder.reason;
    message = builder.message;
    code = builder.code;
    retryAfter = builder.retryAfter;
    decisionId = builder.decisionId;
    policyVersion = builder.policyVersion;
    ruleId = builder.ruleId;
    replayed = builder.replayed;
    source = builder.source;
    decidedAt = builder.decidedAt;
    tool = builder.tool;
    idempotencyKey = builder.idempotencyKey;
  }

  /**
   * Whether the agent may act: true only for an explicit allow.
   *
   * <p>INVARIANT: the one place of this library where an answer becomes permission to act; an equality with allow, never "is not deny".
   */
  public boolean allowed() {
    return decision() == Decision.ALLOW;
  }

  /** What was decided. Only {@link Decision#ALLOW} means yes. */
  public Decision decision() {
    return reason.decision();
  }

  /** Why: a stable code of the contract. */
  public Reason reason() {
    return reason;
  }

  /** The reason as a sentence for people. Not stable. */
  public String message() {
    return message;
  }

  /** Why the request was refused; empty unless the reason is {@link Reason#REQUEST_REFUSED}, and from a sidecar. */
  public Optional<RefusalCode> code() {
    return Optional.ofNullable(code);
  }

  /** How long the service asks to wait before a retry; empty if it does not say. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** UUID of the decision in the audit trail. A decision of this client alone is recorded nowhere, one of a sidecar's once it is uploaded. */
  public String decisionId() {
    return decisionId;
  }

  /** Digest of the policy bundle that decided; empty if a guard did. */
  public String policyVersion() {
    return policyVersion;
  }

  /** The rule that decided, if one did. */
  public Optional<String> ruleId() {
    return Optional.ofNullable(ruleId);
  }

  /** Whether the decision was made for an earlier request with the same key. */
  public boolean replayed() {
    return replayed;
  }

  /** Who decided: the service from policy, or a guard (this client, or a sidecar) alone. */
  public Source source() {
    return source;
  }

  /** When it was decided, by the clock of the service or guard that decided. */
  public Instant decidedAt() {
    return decidedAt;
  }

  /** The tool that was asked about; empty if it is not known. */
  public String tool() {
    return tool;
  }

  /** The key that the request went under, given or derived; empty if the request breaks the contract. */
  public String idempotencyKey() {
    return idempotencyKey;
  }

  @Override
  public String toString() {
    return decision() + " (" + reason + ", " + source + "): " + message;
  }

  /** A builder, for tests and for stand-ins of the client. A verdict that you make yourself permits nothing that was not permitted. */
  public static Builder builder(Reason reason, String message) {
    return new Builder(reason, message);
  }

  /** Makes a {@link Verdict}. What is not set is a guard's: no policy, a new decision, decided now. */
  public static final class Builder {
    private final Reason reason;
    private final String message;
    private RefusalCode code;
    private Duration retryAfter;
    private String decisionId = "";
    private String policyVersion = "";
    private String ruleId;
    private boolean replayed;
    private Source source = Source.GUARD;
    private Instant decidedAt = Instant.now();
    private String tool = "";
    private String idempotencyKey = "";

    private Builder(Reason reason, String message) {
      this.reason = Objects.requireNonNull(reason, "reason must not be null");
      this.message = Objects.requireNonNull(message, "message must not be null");
    }

    /** Sets {@link Verdict#code}. */
    public Builder code(RefusalCode code) {
      this.code = code;
      return this;
    }

    /** Sets {@link Verdict#retryAfter}. */
    public Builder retryAfter(Duration retryAfter) {
      this.retryAfter = retryAfter;
      return this;
    }

    /** Sets {@link Verdict#decisionId}. */
    public Builder decisionId(String decisionId) {
      this.decisionId = decisionId;
      return this;
    }

    /** Sets {@link Verdict#policyVersion}. */
    public Builder policyVersion(String policyVersion) {
      this.policyVersion = policyVersion;
      return this;
    }

    /** Sets {@link Verdict#ruleId}. */
    public Builder ruleId(String ruleId) {
      this.ruleId = ruleId;
      return this;
    }

    /** Sets {@link Verdict#replayed}. */
    public Builder replayed(boolean replayed) {
      this.replayed = replayed;
      return this;
    }

    /** Sets {@link Verdict#source}. */
    public Builder source(Source source) {
      this.source = source;
      return this;
    }

    /** Sets {@link Verdict#decidedAt}. */
    public Builder decidedAt(Instant decidedAt) {
      this.decidedAt = decidedAt;
      return this;
    }

    /** Sets {@link Verdict#tool}. */
    public Builder tool(String tool) {
      this.tool = tool;
      return this;
    }

    /** Sets {@link Verdict#idempotencyKey}. */
    public Builder idempotencyKey(String idempotencyKey) {
      this.idempotencyKey = idempotencyKey;
      return this;
    }

    /** The verdict. */
    public Verdict build() {
      return new Verdict(this);
    }
  }
}

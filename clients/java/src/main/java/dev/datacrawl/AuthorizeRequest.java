package dev.datacrawl;

import java.util.Collections;
import java.util.Map;

/**
 * What an agent asks. Nothing is checked before {@link Authorizer#authorize}, which denies what breaks the contract. The payload is read once,
 * at the call.
 */
public final class AuthorizeRequest {
  private final String tool;
  private final Map<String, ?> payload;
  private final String idempotencyKey;
  private final String principal;
  private final String sessionId;

  private AuthorizeRequest(Builder builder) {
    tool = builder.tool;
    payload = builder.payload;
    idempotencyKey = builder.idempotencyKey;
    principal = builder.principal;
    sessionId = builder.sessionId;
  }

  /**
   * A request.
   *
   * @param tool such as {@code gmail.send_email}: 1 to 256 bytes, no NUL
   * @param payload the tool's arguments: strings, booleans, nulls, numbers that are exactly a double, lists and maps, at most 256 KiB as JSON,
   *     nested at most 32 deep; null is empty
   * @param idempotencyKey identifies this action: 1 to 256 bytes, no NUL; null: derived from agent, tool, payload and principal
   */
  public static AuthorizeRequest of(String tool, Map<String, ?> payload, String idempotencyKey) {
    return builder(tool).payload(payload).idempotencyKey(idempotencyKey).build();
  }

  /** A builder of a request. */
  public static Builder builder(String tool) {
    return new Builder(tool);
  }

  /** The tool that the agent is about to call. */
  public String tool() {
    return tool;
  }

  /** The tool's arguments. */
  public Map<String, ?> payload() {
    return payload;
  }

  /** The key; null if it is to be derived. */
  public String idempotencyKey() {
    return idempotencyKey;
  }

  /** On whose behalf the agent acts; null if it does not say. */
  public String principal() {
    return principal;
  }

  /** The run or conversation; null if the agent does not say. */
  public String sessionId() {
    return sessionId;
  }

  /** Makes an {@link AuthorizeRequest}. */
  public static final class Builder {
    private final String tool;
    private Map<String, ?> payload = Collections.emptyMap();
    private String idempotencyKey;
    private String principal;
    private String sessionId;

    private Builder(String tool) {
      this.tool = tool;
    }

    /** The tool's arguments; null is empty. */
    public Builder payload(Map<String, ?> payload) {
      this.payload = payload == null ? Collections.emptyMap() : payload;
      return this;
    }

    /** Identifies this action. Retries use the same key, another action another one. Null: derived. */
    public Builder idempotencyKey(String idempotencyKey) {
      this.idempotencyKey = idempotencyKey;
      return this;
    }

    /** The person or service on whose behalf the agent acts: 1 to 256 bytes without control characters. Part of the derived key. */
    public Builder principal(String principal) {
      this.principal = principal;
      return this;
    }

    /** The run or conversation that the call belongs to, likewise. Not part of the derived key. */
    public Builder sessionId(String sessionId) {
      this.sessionId = sessionId;
      return this;
    }

    /** The request. */
    public AuthorizeRequest build() {
      return new AuthorizeRequest(this);
    }
  }
}

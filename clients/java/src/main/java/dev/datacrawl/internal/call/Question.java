package dev.datacrawl.internal.call;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import dev.datacrawl.AuthorizeRequest;
import dev.datacrawl.internal.json.Json;
import dev.datacrawl.internal.json.NotJson;
import dev.datacrawl.internal.json.Utf8;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.Map;

/** A request within the contract's limits, each value of which was read exactly once. */
public final class Question {
  private static final int MAX_NAME_BYTES = 256;

  public final String tool;
  public final Map<String, Object> payload;
  public final String idempotencyKey;
  /** Null if the agent does not say. */
  public final String principal;
  /** Null if the agent does not say. */
  public final String sessionId;

  private Question(String tool, Map<String, Object> payload, String key, String principal, String sessionId) {
    this.tool = tool;
    this.payload = payload;
    this.idempotencyKey = key;
    this.principal = principal;
    this.sessionId = sessionId;
  }

  /**
   * @param agentId empty if only a sidecar knows it; then no key can be derived
   * @throws NotJson naming the field. Maps of the caller's may throw anything.
   */
  public static Question of(AuthorizeRequest request, String agentId) throws NotJson {
    String tool = checkName("tool", request.tool());
    String key = request.idempotencyKey();
    if (key != null) checkName("idempotencyKey", key);
    String principal = checkClaim("principal", request.principal());
    String sessionId = checkClaim("sessionId", request.sessionId());
    Map<String, Object> payload = Json.copyOf(request.payload());
    String canonical = Json.canonical(payload);
    if (key == null) {
      if (agentId.isEmpty())
        throw new NotJson("idempotencyKey", "must be given, or the option agentId, from which a key is derived");
      key = derivedKey(agentId, tool, canonical, principal);
    }
    return new Question(tool, payload, key, principal, sessionId);
  }

  /**
   * The key of an action that its caller did not name: {@code sha256:} and the SHA-256 of the RFC 8785 text of agent, payload, principal
   * (where there is one) and tool.
   */
  static String derivedKey(String agentId, String tool, String canonicalPayload, String principal) {
    // The names are in RFC 8785's order.
    StringBuilder text = new StringBuilder("{\"agent\":").append(Json.quoted(agentId));
    text.append(",\"payload\":").append(canonicalPayload);
    if (principal != null) text.append(",\"principal\":").append(Json.quoted(principal));
    text.append(",\"tool\":").append(Json.quoted(tool)).append('}');
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.toString().getBytes(StandardCharsets.UTF_8));
      StringBuilder key = new StringBuilder("sha256:");
      for (byte one : digest) key.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
      return key.toString();
    } catch (NoSuchAlgorithmException error) {
      throw new IllegalStateException("every Java has SHA-256", error);
    }
  }

  private static String checkName(String field, String name) throws NotJson {
    if (name == null) throw new NotJson(field, "must be a string");
    if (name.isEmpty()) throw new NotJson(field, "must not be empty");
    if (name.indexOf('\0') >= 0) throw new NotJson(field, "must not contain NUL");
    return checkLength(field, name);
  }

  private static String checkClaim(String field, String claim) throws NotJson {
    if (claim == null) return null;
    if (claim.isEmpty()) throw new NotJson(field, "must not be empty where it is present");
    if (claim.chars().anyMatch(Character::isISOControl)) throw new NotJson(field, "must not contain control characters");
    return checkLength(field, claim);
  }

  private static String checkLength(String field, String text) throws NotJson {
    if (!Utf8.isWellFormed(text)) throw new NotJson(field, "must not contain a lone surrogate");
    int bytes = Utf8.length(text);
    if (bytes > MAX_NAME_BYTES) throw new NotJson(field, "must be at most " + MAX_NAME_BYTES + " bytes, is " + bytes);
    return text;
  }

  /** The payload as it is sent. */
  public Struct struct() {
    return structOf(payload);
  }

  private static Struct structOf(Map<?, ?> map) {
    Struct.Builder struct = Struct.newBuilder();
    map.forEach((name, value) -> struct.putFields((String) name, valueOf(value)));
    return struct.build();
  }

  private static Value valueOf(Object value) {
    Value.Builder made = Value.newBuilder();
    if (value == null) return made.setNullValue(NullValue.NULL_VALUE).build();
    if (value instanceof String) return made.setStringValue((String) value).build();
    if (value instanceof Boolean) return made.setBoolValue((Boolean) value).build();
    if (value instanceof Number) return made.setNumberValue(((Number) value).doubleValue()).build();
    if (value instanceof Map) return made.setStructValue(structOf((Map<?, ?>) value)).build();
    ListValue.Builder list = ListValue.newBuilder();
    for (Object item : (List<?>) value) list.addValues(valueOf(item));
    return made.setListValue(list).build();
  }
}

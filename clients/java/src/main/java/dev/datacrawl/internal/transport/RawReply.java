package dev.datacrawl.internal.transport;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What arrived for one call, with nothing hidden, or why no whole reply did. */
final class RawReply {
  /** Why there is no whole reply. */
  enum Broken {
    /** No connection, or it was lost, or the server says that it did not look at the call. */
    UNREACHABLE,
    /** The server broke this call off. */
    RESET,
    /** What arrived is not HTTP/2, or is over a limit. */
    PROTOCOL
  }

  /** Null if the reply is whole. */
  final Broken broken;
  final String problem;
  final String httpStatus;
  /** Names in lower case, values as sent; repeated fields are repeated. */
  final List<Map.Entry<String, String>> headers;
  final byte[] body;
  /** Null if the reply ended without a trailer section of its own. */
  final List<Map.Entry<String, String>> trailers;

  private RawReply(
      Broken broken,
      String problem,
      String httpStatus,
      List<Map.Entry<String, String>> headers,
      byte[] body,
      List<Map.Entry<String, String>> trailers) {
    this.broken = broken;
    this.problem = problem;
    this.httpStatus = httpStatus;
    this.headers = headers;
    this.body = body;
    this.trailers = trailers;
  }

  static RawReply whole(
      String httpStatus,
      List<Map.Entry<String, String>> headers,
      byte[] body,
      List<Map.Entry<String, String>> trailers) {
    return new RawReply(null, "", httpStatus, headers, body, trailers);
  }

  static RawReply broken(Broken broken, String problem) {
    return new RawReply(broken, problem, "", List.of(), new byte[0], null);
  }

  static List<String> valuesOf(List<Map.Entry<String, String>> fields, String name) {
    List<String> values = new ArrayList<>();
    for (Map.Entry<String, String> field : fields) if (field.getKey().equals(name)) values.add(field.getValue());
    return values;
  }

  /** The field's value if it occurs exactly once, else null. */
  static String onlyValue(List<Map.Entry<String, String>> fields, String name) {
    List<String> values = valuesOf(fields, name);
    return values.size() == 1 ? values.get(0) : null;
  }
}

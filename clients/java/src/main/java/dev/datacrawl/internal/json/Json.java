package dev.datacrawl.internal.json;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Payloads: a copy that nobody changes, and its canonical text (RFC 8785). */
public final class Json {
  /** The longest canonical text, in bytes of UTF-8. */
  public static final int MAX_BYTES = 256 * 1024;
  /** The deepest nesting; the root is 1. */
  public static final int MAX_DEPTH = 32;

  private static final String INEXACT =
      "is beyond the integers that a double holds exactly (±9007199254740991); send it as a string";

  /** Bounds the work on values that are small in memory and large as JSON, such as one object many times over. */
  private int left = MAX_BYTES;

  private Json() {}

  /**
   * A copy of {@code payload}, unmodifiable to its depth, each value of which was read exactly once: strings, booleans, nulls, numbers that are
   * exactly a double, lists, and maps with strings as names.
   *
   * @throws NotJson if it holds anything else, or breaks a limit of the contract. Maps of the caller's may throw anything.
   */
  public static Map<String, Object> copyOf(Map<?, ?> payload) throws NotJson {
    return new Json().copyOfMap(payload, "payload", MAX_DEPTH);
  }

  private Object copy(Object value, String path, int depth) throws NotJson {
    spend(value instanceof String ? ((String) value).length() + 2 : 1);
    if (value == null || value instanceof Boolean) return value;
    if (value instanceof String) return checkText((String) value, path);
    if (value instanceof Number) return copyOfNumber((Number) value, path);
    if (value instanceof Map) return copyOfMap((Map<?, ?>) value, path, depth);
    if (value instanceof List) return copyOfList((List<?>) value, path, depth);
    throw new NotJson(path, "must be a JSON value, is a " + value.getClass().getName());
  }

  private Map<String, Object> copyOfMap(Map<?, ?> map, String path, int depth) throws NotJson {
    checkDepth(path, depth);
    Map<String, Object> copy = new LinkedHashMap<>();
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      Object name = entry.getKey();
      if (!(name instanceof String))
        throw new NotJson(path, "must have strings as names, has a " + (name == null ? "null" : name.getClass().getName()));
      String text = checkText((String) name, path);
      spend(text.length());
      String memberPath = path + "." + text;
      Object member = copy(entry.getValue(), memberPath, depth - 1);
      // An IdentityHashMap may hold a name twice.
      if (copy.containsKey(text)) throw new NotJson(memberPath, "occurs twice");
      copy.put(text, member);
    }
    return Collections.unmodifiableMap(copy);
  }

  private List<Object> copyOfList(List<?> list, String path, int depth) throws NotJson {
    checkDepth(path, depth);
    List<Object> copy = new ArrayList<>();
    int index = 0;
    for (Object item : list) copy.add(copy(item, path + "[" + index++ + "]", depth - 1));
    return Collections.unmodifiableList(copy);
  }

  private static void checkDepth(String path, int depth) throws NotJson {
    if (depth < 1) throw new NotJson(path, "is nested too deep, or contains itself");
  }

  /** Of the classes of java.lang and java.math alone: a subclass could show the tool another number than it showed here. */
  private static Number copyOfNumber(Number value, String path) throws NotJson {
    Class<?> type = value.getClass();
    boolean isFloating = type == Double.class || type == Float.class;
    boolean isWhole = type == Integer.class || type == Long.class || type == Short.class || type == Byte.class;
    if (!isFloating && !isWhole && type != BigDecimal.class && type != BigInteger.class)
      throw new NotJson(path, "must be a JSON value, is a " + type.getName());
    double number = value.doubleValue();
    if (isFloating && (Double.isNaN(number) || Double.isInfinite(number)))
      throw new NotJson(path, "must be a finite number, is " + value);
    if (Double.isInfinite(number) || Doubles.isInteger(number) && !Doubles.isExactInteger(number))
      throw new NotJson(path, INEXACT);
    if (type == BigDecimal.class && new BigDecimal(Doubles.write(number)).compareTo((BigDecimal) value) != 0)
      throw new NotJson(path, "has more digits than a double holds; send it as a string");
    // JSON has no minus zero in its canonical form; the tool gets what was asked about.
    return isFloating && number == 0 ? Double.valueOf(0) : value;
  }

  private static String checkText(String text, String path) throws NotJson {
    if (text.indexOf('\0') >= 0) throw new NotJson(path, "must not contain NUL");
    if (!Utf8.isWellFormed(text)) throw new NotJson(path, "must not contain a lone surrogate");
    return text;
  }

  private void spend(int bytes) throws NotJson {
    left -= bytes;
    if (left < 0) throw new NotJson("payload", "must be at most " + MAX_BYTES + " bytes of JSON");
  }

  /** The RFC 8785 text of a copy that {@link #copyOf} made. */
  public static String canonical(Map<String, Object> copy) throws NotJson {
    StringBuilder text = new StringBuilder();
    write(copy, text);
    int bytes = Utf8.length(text);
    if (bytes > MAX_BYTES)
      throw new NotJson("payload", "must be at most " + MAX_BYTES + " bytes of canonical JSON, is " + bytes);
    return text.toString();
  }

  private static void write(Object value, StringBuilder text) {
    if (value instanceof String) {
      writeString((String) value, text);
    } else if (value instanceof Number) {
      text.append(Doubles.write(((Number) value).doubleValue()));
    } else if (value instanceof Map) {
      writeObject((Map<?, ?>) value, text);
    } else if (value instanceof List) {
      text.append('[');
      String comma = "";
      for (Object item : (List<?>) value) {
        text.append(comma);
        write(item, text);
        comma = ",";
      }
      text.append(']');
    } else {
      // True, false and null.
      text.append(value);
    }
  }

  private static void writeObject(Map<?, ?> map, StringBuilder text) {
    String[] names = map.keySet().toArray(new String[0]);
    // String compares UTF-16 code units, as RFC 8785 demands.
    Arrays.sort(names);
    text.append('{');
    String comma = "";
    for (String name : names) {
      text.append(comma);
      writeString(name, text);
      text.append(':');
      write(map.get(name), text);
      comma = ",";
    }
    text.append('}');
  }

  /** A string as JSON, quoted. */
  public static String quoted(String string) {
    StringBuilder text = new StringBuilder();
    writeString(string, text);
    return text.toString();
  }

  private static void writeString(String string, StringBuilder text) {
    text.append('"');
    for (int index = 0; index < string.length(); index++) {
      char c = string.charAt(index);
      switch (c) {
        case '"':
        case '\\':
          text.append('\\').append(c);
          break;
        case '\b':
          text.append("\\b");
          break;
        case '\t':
          text.append("\\t");
          break;
        case '\n':
          text.append("\\n");
          break;
        case '\f':
          text.append("\\f");
          break;
        case '\r':
          text.append("\\r");
          break;
        default:
          if (c < 0x20) text.append(String.format("\\u%04x", (int) c));
          else text.append(c);
      }
    }
    text.append('"');
  }
}

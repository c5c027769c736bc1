package dev.datacrawl;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The vectors that all clients share: clients/vectors/README.md. */
public final class Vectors {
  private Vectors() {}

  public static Stream<JsonObject> of(String file, String list) {
    JsonArray items = read(file).getAsJsonArray(list);
    if (items.size() == 0) throw new IllegalStateException(file + " has no " + list);
    return StreamSupport.stream(items.spliterator(), false).map(JsonElement::getAsJsonObject);
  }

  private static JsonObject read(String file) {
    try {
      return JsonParser.parseString(Files.readString(Path.of("../vectors", file))).getAsJsonObject();
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  /** JSON text as Java's values: numbers are doubles, or longs where they are written as such. */
  public static Object parse(String json) {
    return valueOf(JsonParser.parseString(json));
  }

  private static Object valueOf(JsonElement element) {
    if (element.isJsonNull()) return null;
    if (element.isJsonArray()) {
      List<Object> list = new ArrayList<>();
      element.getAsJsonArray().forEach(item -> list.add(valueOf(item)));
      return list;
    }
    if (element.isJsonObject()) {
      Map<String, Object> map = new LinkedHashMap<>();
      element.getAsJsonObject().entrySet().forEach(entry -> map.put(entry.getKey(), valueOf(entry.getValue())));
      return map;
    }
    JsonPrimitive primitive = element.getAsJsonPrimitive();
    if (primitive.isBoolean()) return primitive.getAsBoolean();
    if (primitive.isString()) return primitive.getAsString();
    return primitive.getAsString().matches("-?\\d{1,18}") ? (Object) primitive.getAsLong() : primitive.getAsDouble();
  }

  public static String textOrNull(JsonObject item, String name) {
    return item.get(name).isJsonNull() ? null : item.get(name).getAsString();
  }
}

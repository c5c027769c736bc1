import type { JsonObject, JsonValue } from "../../core/json.ts";
import { base64Decode } from "@bufbuild/protobuf/wire";
import type { Path } from "../../core/fault.ts";
import type { UnverifiedRequest } from "../../core/request.ts";
import { parseJsonText } from "../../core/json-text.ts";
import { nearest } from "../../core/nearest.ts";
import { Undecodable, undecodableFault } from "../../core/undecodable.ts";

type Field = "tool" | "payload" | "idempotency_key" | "agent_id" | "nonce" | "principal" | "session_id";

/** Both spellings of proto3 JSON, with the field's name in errors. */
const FIELDS: ReadonlyMap<string, Field> = new Map([
  ["tool", "tool"],
  ["payload", "payload"],
  ["idempotencyKey", "idempotency_key"],
  ["idempotency_key", "idempotency_key"],
  ["agentId", "agent_id"],
  ["agent_id", "agent_id"],
  ["nonce", "nonce"],
  ["principal", "principal"],
  ["sessionId", "session_id"],
  ["session_id", "session_id"],
]);

/**
 * Decodes an `AuthorizeRequest` in proto3's JSON format, strictly: unknown fields are refused (a misspelt one is a mistake,
 * not a field of a newer client), and so is a name that occurs twice, at any depth and in either spelling.
 *
 * @throws Fault REQUEST_MALFORMED or FIELD_INVALID, naming the field
 */
export function decodeAuthorizeRequestJson(text: string): UnverifiedRequest {
  const path: Path = [];
  try {
    const fields = fieldsOf(parseJsonText(text, path), path);
    return {
      tool: stringField(fields, "tool", path),
      payload: payloadField(fields, path),
      idempotencyKey: stringField(fields, "idempotency_key", path),
      agentId: stringField(fields, "agent_id", path),
      nonce: nonceField(fields, path),
      principal: fields.has("principal") ? stringField(fields, "principal", path) : null,
      sessionId: fields.has("session_id") ? stringField(fields, "session_id", path) : null,
    };
  } catch (error) {
    throw undecodableFault(error, inProtoNames(path));
  }
}

/** The object's members by their fields' names. Null means absent, as everywhere in proto3 JSON. */
function fieldsOf(request: JsonValue, path: Path): Map<Field, JsonValue> {
  if (!isObject(request)) throw new Undecodable("is not a JSON object");
  const fields = new Map<Field, JsonValue>();
  for (const [name, value] of Object.entries(request)) {
    path[0] = name;
    const field = FIELDS.get(name);
    if (field === undefined) throw new Undecodable(`is not a field${suggestion(name)}`, "FIELD_INVALID");
    if (fields.has(field)) throw new Undecodable("occurs twice, in two spellings", "FIELD_INVALID");
    if (value !== null) fields.set(field, value);
  }
  return fields;
}

function suggestion(name: string): string {
  const known = nearest(name, FIELDS.keys());
  return known === undefined ? "" : ` (did you mean ${known}?)`;
}

function stringField(fields: ReadonlyMap<Field, JsonValue>, field: Field, path: Path): string {
  path[0] = field;
  const value = fields.get(field) ?? "";
  if (typeof value !== "string") throw new Undecodable(`must be a string, is ${kindOf(value)}`, "FIELD_INVALID");
  return value;
}

function payloadField(fields: ReadonlyMap<Field, JsonValue>, path: Path): JsonObject {
  path[0] = "payload";
  const value = fields.get("payload") ?? {};
  if (!isObject(value)) throw new Undecodable(`must be an object, is ${kindOf(value)}`, "FIELD_INVALID");
  return value;
}

function nonceField(fields: ReadonlyMap<Field, JsonValue>, path: Path): Uint8Array {
  const text = stringField(fields, "nonce", path);
  try {
    return base64Decode(text);
  } catch {
    throw new Undecodable("must be base64", "FIELD_INVALID");
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kindOf(value: JsonValue): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function inProtoNames(path: Path): Path {
  const [first, ...rest] = path;
  return first === undefined ? [] : [FIELDS.get(String(first)) ?? first, ...rest];
}

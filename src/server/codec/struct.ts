import { type JsonObject, type JsonValue, setMember } from "../../core/json.ts";
import type { Path } from "../../core/fault.ts";
import { DECODED_DEPTH } from "../../core/json-text.ts";
import { Undecodable } from "../../core/undecodable.ts";
import { type WireReader, WireType } from "../../core/wire-reader.ts";

const FIELDS = (1 << 3) | WireType.bytes;
const NAME = (1 << 3) | WireType.bytes;
const VALUE = (2 << 3) | WireType.bytes;
const VALUES = (1 << 3) | WireType.bytes;
const NULL_VALUE = (1 << 3) | WireType.varint;
const NUMBER_VALUE = (2 << 3) | WireType.fixed64;
const STRING_VALUE = (3 << 3) | WireType.bytes;
const BOOL_VALUE = (4 << 3) | WireType.varint;
const STRUCT_VALUE = (5 << 3) | WireType.bytes;
const LIST_VALUE = (6 << 3) | WireType.bytes;

/**
 * Decodes a `google.protobuf.Struct` that ends at `end` to the JSON object that it stands for.
 *
 * What parsers may read differently is refused: a name that occurs twice, a value of no kind or of two. So are NaN and
 * infinities, which JSON does not have. After an error `path` leads to the offending part.
 *
 * @throws Undecodable
 */
export function decodeStruct(reader: WireReader, end: number, path: Path, depth = 1): JsonObject {
  checkDepth(depth);
  const object: JsonObject = {};
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === FIELDS) decodeMember(reader, reader.lengthDelimited(end), path, depth, object);
    else reader.skipUnknown(tag, 1, end);
  }
  return object;
}

function decodeMember(reader: WireReader, end: number, path: Path, depth: number, object: JsonObject): void {
  let name: string | undefined;
  let value: JsonValue | undefined;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === NAME && name === undefined) name = reader.string(end);
    else if (tag === VALUE && value === undefined) {
      path.push(name ?? "");
      value = decodeValue(reader, reader.lengthDelimited(end), path, depth);
      path.pop();
    } else reader.skipUnknown(tag, 2, end);
  }
  if (value === undefined || Object.hasOwn(object, name ?? "")) {
    path.push(name ?? "");
    throw new Undecodable(value === undefined ? "has no value" : "occurs twice", "FIELD_INVALID");
  }
  setMember(object, name ?? "", value);
}

function decodeValue(reader: WireReader, end: number, path: Path, depth: number): JsonValue {
  let value: JsonValue | undefined;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (value !== undefined && tag >>> 3 <= 6) throw new Undecodable("has two values");
    switch (tag) {
      case STRING_VALUE:
        value = reader.string(end);
        break;
      case NUMBER_VALUE:
        value = finite(reader.double(end));
        break;
      case BOOL_VALUE:
        value = reader.bool(end);
        break;
      case NULL_VALUE:
        value = reader.zero(end);
        break;
      case STRUCT_VALUE:
        value = decodeStruct(reader, reader.lengthDelimited(end), path, depth + 1);
        break;
      case LIST_VALUE:
        value = decodeList(reader, reader.lengthDelimited(end), path, depth + 1);
        break;
      default:
        reader.skipUnknown(tag, 6, end);
    }
  }
  if (value === undefined) throw new Undecodable("has no value", "FIELD_INVALID");
  return value;
}

function decodeList(reader: WireReader, end: number, path: Path, depth: number): JsonValue[] {
  checkDepth(depth);
  const items: JsonValue[] = [];
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === VALUES) {
      path.push(items.length);
      items.push(decodeValue(reader, reader.lengthDelimited(end), path, depth));
      path.pop();
    } else reader.skipUnknown(tag, 1, end);
  }
  return items;
}

function checkDepth(depth: number): void {
  if (depth > DECODED_DEPTH) throw new Undecodable("is nested too deep", "FIELD_INVALID");
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new Undecodable(`must be a finite number, is ${value}`, "FIELD_INVALID");
  return value;
}

import type { JsonObject } from "../../core/json.ts";
import type { Path } from "../../core/fault.ts";
import type { UnverifiedRequest } from "../../core/request.ts";
import { decodeStruct } from "./struct.ts";
import { undecodableFault } from "../../core/undecodable.ts";
import { WireReader, WireType } from "../../core/wire-reader.ts";

const NAMES = ["", "tool", "payload", "idempotency_key", "agent_id", "nonce", "principal", "session_id"] as const;
const TOOL = (1 << 3) | WireType.bytes;
const PAYLOAD = (2 << 3) | WireType.bytes;
const IDEMPOTENCY_KEY = (3 << 3) | WireType.bytes;
const AGENT_ID = (4 << 3) | WireType.bytes;
const NONCE = (5 << 3) | WireType.bytes;
const PRINCIPAL = (6 << 3) | WireType.bytes;
const SESSION_ID = (7 << 3) | WireType.bytes;

const NO_BYTES = new Uint8Array(0);

/**
 * Decodes an `AuthorizeRequest` in protobuf's binary format, strictly: a field that occurs twice or has another wire type is
 * refused, since two parsers could read two questions in it. Unknown fields are ignored, as protobuf wants for newer clients.
 * Nothing in the result shares memory with `bytes`.
 *
 * @throws Fault REQUEST_MALFORMED or FIELD_INVALID, naming the field
 */
export function decodeAuthorizeRequest(bytes: Uint8Array): UnverifiedRequest {
  const path: Path = [];
  try {
    return decodeFields(new WireReader(bytes), path);
  } catch (error) {
    throw undecodableFault(error, path);
  }
}

function decodeFields(reader: WireReader, path: Path): UnverifiedRequest {
  let tool: string | undefined;
  let payload: JsonObject | undefined;
  let idempotencyKey: string | undefined;
  let agentId: string | undefined;
  let nonce: Uint8Array | undefined;
  let principal: string | undefined;
  let sessionId: string | undefined;
  const end = reader.length;
  while (reader.at < end) {
    const tag = reader.tag(end);
    path[0] = NAMES[tag >>> 3] ?? "";
    if (tag === TOOL && tool === undefined) tool = reader.string(end);
    else if (tag === PAYLOAD && payload === undefined)
      payload = decodeStruct(reader, reader.lengthDelimited(end), path);
    else if (tag === IDEMPOTENCY_KEY && idempotencyKey === undefined) idempotencyKey = reader.string(end);
    else if (tag === AGENT_ID && agentId === undefined) agentId = reader.string(end);
    else if (tag === NONCE && nonce === undefined) nonce = reader.bytes(end);
    else if (tag === PRINCIPAL && principal === undefined) principal = reader.string(end);
    else if (tag === SESSION_ID && sessionId === undefined) sessionId = reader.string(end);
    else reader.skipUnknown(tag, 7, end);
    path[0] = "";
  }
  return {
    tool: tool ?? "",
    payload: payload ?? {},
    idempotencyKey: idempotencyKey ?? "",
    agentId: agentId ?? "",
    nonce: nonce ?? NO_BYTES,
    principal: principal ?? null,
    sessionId: sessionId ?? null,
  };
}

import { type DescMessage, fromBinary, fromJson, type MessageShape } from "@bufbuild/protobuf";
import { Fault, messageOf, type Path } from "../../core/fault.ts";
import type { RequestMessage } from "../http/body.ts";
import { parseJsonText } from "../../core/json-text.ts";
import { undecodableFault } from "../../core/undecodable.ts";

/**
 * Decodes messages other than those that agents wait for most: AuthorizeRequest and BeginExecutionRequest have decoders of their own.
 *
 * @throws Fault REQUEST_MALFORMED
 */
export function decodeBinary<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw notA(schema, error);
  }
}

/**
 * The same in proto3's JSON. Unknown fields and names that occur twice are refused.
 *
 * @throws Fault REQUEST_MALFORMED or FIELD_INVALID
 */
export function decodeJson<Desc extends DescMessage>(schema: Desc, text: string): MessageShape<Desc> {
  const path: Path = [];
  try {
    const value = parseJsonText(text, path);
    return fromJson(schema, value, { ignoreUnknownFields: false });
  } catch (error) {
    const fault = undecodableFault(error, path);
    throw fault instanceof Fault ? fault : notA(schema, error);
  }
}

/** Either, as the request came. */
export function decodeMessage<Desc extends DescMessage>(schema: Desc, message: RequestMessage): MessageShape<Desc> {
  return message.format === "json" ? decodeJson(schema, message.text) : decodeBinary(schema, message.bytes);
}

function notA(schema: DescMessage, error: unknown): Fault {
  return new Fault("REQUEST_MALFORMED", `The request is not a valid ${schema.name}: ${messageOf(error)}`);
}

import type { DescMessage } from "@bufbuild/protobuf";
import { invalid } from "../../admin/checks.ts";

/**
 * Refuses NUL anywhere in a request: nothing that operators name has one, and the store holds none.
 *
 * @throws Fault FIELD_INVALID naming the field
 */
export function refuseNul({ fields }: DescMessage, request: object, path = ""): void {
  for (const { localName, name, message } of fields) {
    const value = (request as Readonly<Record<string, unknown>>)[localName];
    if (message !== undefined && isMessage(value)) refuseNul(message, value, `${path}${name}.`);
    else if (holdsNul(value)) throw invalid(`${path}${name}`, "must be text without NUL");
  }
}

/** Not for a google.protobuf.Struct, which is plain JSON. */
function isMessage(value: unknown): value is object {
  return typeof value === "object" && value !== null && "$typeName" in value;
}

function holdsNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return Object.entries(value).some(([name, member]) => name.includes("\0") || holdsNul(member));
}

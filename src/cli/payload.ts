import type { JsonObject } from "../core/json.ts";
import { InvalidArgumentError } from "commander";
import { Fault, type Path } from "../core/fault.ts";
import { parseJsonText } from "../core/json-text.ts";
import { undecodableFault } from "../core/undecodable.ts";

/**
 * The value of `--payload`, read as strictly as the service reads it: what the command asks about is what was typed.
 *
 * @throws InvalidArgumentError
 */
export function parsePayload(text: string): JsonObject {
  const path: Path = ["payload"];
  try {
    const value = parseJsonText(text, path);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    const fault = undecodableFault(error, path);
    throw fault instanceof Fault ? new InvalidArgumentError(fault.message) : error;
  }
  throw new InvalidArgumentError('It must be a JSON object, such as {"amount":50}.');
}

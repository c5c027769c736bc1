import { Fault, type Path } from "../../core/fault.ts";
import type { JsonObject } from "../../core/json.ts";
import { parseJsonText } from "../../core/json-text.ts";
import { undecodableFault } from "../../core/undecodable.ts";
import { HookEventError } from "./host.ts";

/**
 * The JSON object of a host, read as strictly as a request: what is judged must be what every other reader understands.
 *
 * @throws HookEventError
 */
export function parseEvent(text: string): JsonObject {
  const path: Path = [];
  try {
    const value = parseJsonText(text, path);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (error) {
    const fault = undecodableFault(error, path);
    if (!(fault instanceof Fault)) throw error;
    throw new HookEventError(`The host's JSON cannot be judged: ${fault.message}`);
  }
  throw new HookEventError("The host's JSON is no object.");
}

import { Fault, type Path, pathText } from "./fault.ts";

/** What keeps bytes from being a request, as the end of a sentence whose subject is the field. */
export class Undecodable extends Error {
  override readonly name = "Undecodable";
  readonly code: "REQUEST_MALFORMED" | "FIELD_INVALID";

  /**
   * @param problem such as "is cut short"
   * @param code FIELD_INVALID if the message could be read and what the field says is refused
   */
  constructor(problem: string, code: "REQUEST_MALFORMED" | "FIELD_INVALID" = "REQUEST_MALFORMED") {
    super(problem);
    this.code = code;
  }
}

/** The caller's fault, naming the field at the end of `path`; no path means the request itself. Other errors stay as they are. */
export function undecodableFault(error: unknown, path: Readonly<Path>): unknown {
  if (!(error instanceof Undecodable)) return error;
  const field = pathText(path);
  if (field === "") return new Fault(error.code, `The request ${error.message}.`);
  return new Fault(error.code, `${field} ${error.message}.`, { field, path: [...path] });
}

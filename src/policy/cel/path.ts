/** A path of a file or a URL whose segments mean the same to everybody who reads it. */
export class StrictPath {
  /** Begins with `/`. */
  readonly absolute: boolean;
  /** Without escapes. */
  readonly segments: readonly string[];

  constructor(absolute: boolean, segments: readonly string[]) {
    this.absolute = absolute;
    this.segments = segments;
  }

  /** Whether it is `parent` or lies below. */
  isWithin(parent: StrictPath): boolean {
    return parent.segments.every((segment, i) => segment === this.segments[i]);
  }
}

const MAX_LENGTH = 8_192;
const ESCAPES = /(?:%[0-9A-Fa-f]{2})+/g;
/** In a URL, some readers take these for a separator or a dot-segment, or decode once more, and others do not. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const AMBIGUOUS_ESCAPE = /[\0-\x1f\x7f/\\.%;]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\0-\x1f\x7f]/;

/**
 * Reads a path, in which escapes stand for characters if it is a URL's, or says why it is not taken: where readers disagree about what a path means, one that is checked here could be
 * another one where it is opened. So there is nothing to resolve in what is taken.
 */
export function parsePath(text: string, isOfUrl: boolean): StrictPath | string {
  if (text === "") return "it is empty";
  if (text.length > MAX_LENGTH) return `it has more than ${MAX_LENGTH} characters`;
  if (CONTROL.test(text)) return "it has control characters";
  if (text.includes("\\")) return "it has a backslash";
  if (text.startsWith("~")) return 'it begins with "~"';
  const escapes = text.match(ESCAPES) ?? [];
  if (escapes.length > 0 && !isOfUrl) return "it has an escape such as %2e";
  if (escapes.some(isAmbiguous)) return "it has an encoded separator, dot or percent sign, or bytes that are not UTF-8";
  const absolute = text.startsWith("/");
  const segments = text.slice(absolute ? 1 : 0).split("/");
  if (segments.at(-1) === "") segments.pop();
  if (segments.includes("")) return "it has an empty segment";
  // What Windows and servers with path parameters take for "." and "..", too: ".. " and "..;x".
  if (segments.some((segment) => /^[. ]+(;|$)/.test(segment))) return 'it has a segment "." or ".."';
  return new StrictPath(absolute, escapes.length > 0 ? segments.map(decodeURIComponent) : segments);
}

function isAmbiguous(escapes: string): boolean {
  try {
    return AMBIGUOUS_ESCAPE.test(decodeURIComponent(escapes));
  } catch {
    return true;
  }
}

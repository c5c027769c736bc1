/** What keeps a text from being JSON as it is read here. */
export class StrictJsonError extends Error {
  override readonly name = "StrictJsonError";
}

/** In a text that is JSON already: a name of a member with its colon, another string, or a number. */
const TOKEN = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|-?\d[\d.eE+-]*/gs;
const INTEGER = /^(-?[1-9]\d*|0)$/;

/**
 * JSON that all readers read alike: no member twice in an object, no numbers but whole ones that a double holds exactly, no
 * lone surrogates. What proofs and exports are written in has nothing else.
 *
 * @throws StrictJsonError
 */
export function parseStrictJson(text: string): unknown {
  const value = parse(text);
  if (!text.isWellFormed() || /\\u[dD][89a-fA-F]/.test(text)) checkSurrogates(value);
  let names = 0;
  for (const [token, string, colon] of text.matchAll(TOKEN)) {
    if (colon !== undefined) names++;
    if (string === undefined && !(INTEGER.test(token) && Number.isSafeInteger(Number(token))))
      throw new StrictJsonError(`the number ${token.slice(0, 40)} is not a whole one of at most 53 bits`);
  }
  // A repeated name leaves fewer members than there are names.
  if (names !== countMembers(value)) throw new StrictJsonError("an object has a member twice");
  return value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    // V8 quotes the text around the error; not more than that, for it may be anything.
    throw new StrictJsonError(`not JSON: ${(error as Error).message.slice(0, 120)}`);
  }
}

function countMembers(root: unknown): number {
  let count = 0;
  eachObject(root, (object) => {
    if (!Array.isArray(object)) count += Object.keys(object).length;
  });
  return count;
}

function checkSurrogates(root: unknown): void {
  const check = (text: unknown): void => {
    if (typeof text === "string" && !text.isWellFormed()) throw new StrictJsonError("a string holds a lone surrogate");
  };
  check(root);
  eachObject(root, (object) => {
    for (const [name, value] of Object.entries(object)) {
      check(name);
      check(value);
    }
  });
}

/** Without recursion: a hostile text may nest as deep as it is long. */
function eachObject(root: unknown, visit: (object: object) => void): void {
  const waiting = [root];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (typeof value !== "object" || value === null) continue;
    visit(value);
    for (const inner of Object.values(value)) if (typeof inner === "object") waiting.push(inner);
  }
}

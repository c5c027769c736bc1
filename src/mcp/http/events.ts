/** Of one event, in bytes. */
const MAX_EVENT = 64 * 1024 * 1024;
/** A blank line. A carriage return at the end is a line's end only once it is known that no newline follows. */
const BLANK = /(?:\r\n|\n|\r(?!\n|$))(?:\r\n|\n|\r(?!\n|$))/g;

/**
 * Replaces the data of events of a server's stream. Events whose data stays as it was pass byte for byte.
 *
 * @throws Error for an event that is too long
 */
export async function* mapEvents(
  source: AsyncIterable<Buffer>,
  map: (data: string) => Promise<string>,
): AsyncGenerator<Buffer, void, undefined> {
  // Each byte is a character, so that no character is cut between chunks.
  let held = "";
  let seen = 0;
  for await (const chunk of source) {
    held += chunk.toString("latin1");
    // A blank line may have begun in the last three bytes that were looked at.
    BLANK.lastIndex = Math.max(0, seen - 3);
    let from = 0;
    for (let blank = BLANK.exec(held); blank !== null; blank = BLANK.exec(held)) {
      yield await mapEvent(held.slice(from, BLANK.lastIndex), map);
      from = BLANK.lastIndex;
    }
    held = held.slice(from);
    seen = held.length;
    if (held.length > MAX_EVENT) throw new Error("an event is too long");
  }
  if (held !== "") yield await mapEvent(held, map);
}

/** @param raw as it came, with the blank line that ends it, each byte a character */
async function mapEvent(raw: string, map: (data: string) => Promise<string>): Promise<Buffer> {
  const bytes = Buffer.from(raw, "latin1");
  const lines = bytes
    .toString()
    .replace(/^\uFEFF/, "")
    .split(/\r\n|\r|\n/);
  const data = lines.flatMap((line) => /^data(?:: ?|$)(.*)$/s.exec(line)?.[1] ?? []).join("\n");
  const mapped = data === "" ? data : await map(data);
  if (mapped === data) return bytes;
  const others = lines.filter((line) => line !== "" && !/^data(?::|$)/.test(line));
  return Buffer.from([...others, ...mapped.split("\n").map((line) => `data: ${line}`), "", ""].join("\n"));
}

/** Of one event, in bytes. */
const MAX_EVENT = 64 * 1024 * 1024;
/** A blank line. A carriage return at the end is a line's end only once it is known that no newline follows. */
const BLANK = /(?:\r\n|\n|\r(?!\n|$))(?:\r\n|\n|\r(?!\n|$))/g;

/** Splits a server's stream into its events, as they came, with the blank lines that end them. Each byte is a character, so that none is cut. */
export class EventSplitter {
  /** Of the event that has not ended yet. */
  readonly #parts: string[] = [];
  #length = 0;
  /** Its last three characters, with which a blank line may have begun. */
  #tail = "";

  /** @throws Error for an event that is too long */
  take(chunk: Buffer): readonly string[] {
    const text = this.#tail + chunk.toString("latin1");
    const events: string[] = [];
    let from = this.#tail.length;
    BLANK.lastIndex = 0;
    for (let blank = BLANK.exec(text); blank !== null; blank = BLANK.exec(text)) {
      events.push(this.#parts.join("") + text.slice(from, BLANK.lastIndex));
      from = BLANK.lastIndex;
      this.#parts.length = 0;
      this.#length = 0;
    }
    this.#parts.push(text.slice(from));
    this.#length += text.length - from;
    if (this.#length > MAX_EVENT) throw new Error("an event is too long");
    this.#tail = text.slice(events.length > 0 ? from : 0).slice(-3);
    return events;
  }

  /** What came after the last event. Empty if nothing did. */
  get rest(): string {
    return this.#parts.join("");
  }
}

/** An event's lines and data. */
export function readEvent(raw: string): { readonly lines: readonly string[]; readonly data: string } {
  const text = Buffer.from(raw, "latin1").toString();
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  return { lines, data: lines.flatMap((line) => /^data(?:: ?|$)(.*)$/s.exec(line)?.[1] ?? []).join("\n") };
}

/**
 * Replaces the data of events of a server's stream. Events whose data stays as it was pass byte for byte.
 *
 * @throws Error for an event that is too long
 */
export async function* mapEvents(
  source: AsyncIterable<Buffer>,
  map: (data: string) => Promise<string>,
): AsyncGenerator<Buffer, void, undefined> {
  const events = new EventSplitter();
  for await (const chunk of source) for (const raw of events.take(chunk)) yield await mapEvent(raw, map);
  if (events.rest !== "") yield await mapEvent(events.rest, map);
}

async function mapEvent(raw: string, map: (data: string) => Promise<string>): Promise<Buffer> {
  const { lines, data } = readEvent(raw);
  const mapped = data === "" ? data : await map(data);
  if (mapped === data) return Buffer.from(raw, "latin1");
  const others = lines.filter((line) => line !== "" && !/^data(?::|$)/.test(line));
  return Buffer.from([...others, ...mapped.split("\n").map((line) => `data: ${line}`), "", ""].join("\n"));
}

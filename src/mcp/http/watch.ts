import type { JsonObject } from "../../core/json.ts";
import type { Ends } from "../ends.ts";
import { looselyRead } from "../message.ts";
import type { Run } from "../runs.ts";
import { EventSplitter, readEvent } from "./events.ts";

/** Of what is looked at in one answer that is no stream, in bytes. */
const MAX_LOOKED_AT = 64 * 1024 * 1024;

export interface WatchOptions {
  readonly ends: Ends;
  /** The run of the call that `id` answers. */
  readonly runOf: (id: unknown) => Run | undefined;
}

/** Looks for the ends of runs in what a server answers, and changes nothing in it. */
export class Watch {
  readonly #options: WatchOptions;
  #hasEventIds = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Whether the stream can be resumed, so that an answer may still come on another one. */
  get isResumable(): boolean {
    return this.#hasEventIds;
  }

  /** Takes text that holds messages. */
  hear(text: string): void {
    for (const message of looselyRead(text)) this.#hear(message);
  }

  #hear(message: JsonObject): void {
    const { ends, runOf } = this.#options;
    ends.heard(message);
    if (message["method"] !== undefined) return;
    const run = runOf(message["id"]);
    if (run !== undefined) ends.answered(run, message);
  }

  /** The same bytes, looked at before they pass. */
  async *through(source: AsyncIterable<Buffer>, isStream: boolean): AsyncGenerator<Buffer, void, undefined> {
    if (isStream) yield* this.#throughEvents(source);
    else yield* this.#throughWhole(source);
  }

  async *#throughEvents(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    let events: EventSplitter | null = new EventSplitter();
    for await (const chunk of source) {
      try {
        for (const raw of events?.take(chunk) ?? []) this.#hearEvent(raw);
      } catch {
        // What is too long to look at passes, and its run ends without an answer.
        events = null;
      }
      yield chunk;
    }
    if (events !== null) this.#hearEvent(events.rest);
  }

  #hearEvent(raw: string): void {
    const { lines, data } = readEvent(raw);
    this.#hasEventIds ||= lines.some((line) => line.startsWith("id:"));
    this.hear(data);
  }

  async *#throughWhole(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of source) {
      length += chunk.length;
      if (length <= MAX_LOOKED_AT) chunks.push(chunk);
      else chunks.length = 0;
      yield chunk;
    }
    if (length <= MAX_LOOKED_AT) this.hear(Buffer.concat(chunks).toString());
  }
}

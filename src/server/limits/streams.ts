import { Fault } from "../../core/fault.ts";
import { Quota } from "../../core/quota.ts";
import { LIMITS } from "./limits.ts";
import type { Listener } from "../listen.ts";

/** The streams of a listener that are open: bounded, and ended together when it closes. */
export class OpenStreams {
  readonly #open = new Set<AbortController>();
  #closing = false;

  /**
   * Until its signal aborts.
   *
   * @throws Fault QUEUE_FULL if there are too many, SHUTTING_DOWN if the listener is closing
   */
  add(stream: AbortController): void {
    if (this.#closing) throw shuttingDown();
    if (this.#open.size >= LIMITS.streams) {
      throw new Fault("QUEUE_FULL", "Too many streams are open.", { retryAfterMs: 5000 });
    }
    this.#open.add(stream);
    stream.signal.addEventListener("abort", () => this.#open.delete(stream), { once: true });
  }

  /** Ends them all, and lets no more begin: they would hold their connections for the whole time of draining. */
  end(): void {
    this.#closing = true;
    for (const stream of this.#open) stream.abort(shuttingDown());
  }
}

/** `listener`, whose streams end when it closes. */
export function endingStreams(listener: Listener, streams: OpenStreams): Listener {
  const close: Listener["close"] = (options) => {
    streams.end();
    return listener.close(options);
  };
  return { ...listener, close };
}

/** The streams that each caller has open: none may take them all. */
export function streamsOfCallers(): Quota {
  return new Quota({ perOwner: LIMITS.streamsPerCaller }, (caller, open) => {
    return new Fault("QUEUE_FULL", `${caller} has ${open} streams open: close some.`, { retryAfterMs: 5000 });
  });
}

function shuttingDown(): Fault {
  return new Fault("SHUTTING_DOWN", "The service is shutting down.", { retryAfterMs: 1000 });
}

/**
 * What `source` yields, until `signal` aborts: then it rejects with the signal's reason at once, and `source` is
 * ended. Also if nothing asks for the next value any more, as when the reader is stuck.
 */
export async function* yieldUntil<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  // A generator that waits takes this in when its wait is over, which the signal ends too.
  const end = (): void => void iterator.return?.().then(nothing, nothing);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    for (;;) {
      const next = await settledUntil(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

/** What `work` comes to, or a rejection with the signal's reason, whichever is first. */
export async function settledUntil<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    // In this order: an end that the signal has brought about is not the end of the work.
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function nothing(): void {}

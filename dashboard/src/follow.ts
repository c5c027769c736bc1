const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** The service sends a sign of life at least every 5 s; a stream that is silent for longer is taken for lost. */
const SILENCE_MS = 12_000;

interface Followed<Message> {
  readonly message: (message: Message) => void;
  /** Called when the stream breaks, once for each attempt, with why; undefined if it just ended. */
  readonly lost: (error: unknown) => void;
}

/**
 * Follows a server stream until `stop`, and reopens it with growing pauses when it breaks or falls silent.
 *
 * @param open starts the stream; must end it when the signal aborts
 */
export async function follow<Message>(
  open: (signal: AbortSignal) => AsyncIterable<Message>,
  on: Followed<Message>,
  stop: AbortSignal,
): Promise<void> {
  for (let wait = FIRST_WAIT_MS; !stop.aborted; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const silence = new Silence();
    let problem: unknown;
    try {
      for await (const message of open(AbortSignal.any([stop, silence.signal]))) {
        silence.broken();
        wait = FIRST_WAIT_MS;
        on.message(message);
      }
    } catch (error) {
      // Whatever it was, what is shown may be old now; the next attempt shows whether it still is.
      problem = error;
    } finally {
      silence.end();
    }
    if (stop.aborted) return;
    on.lost(problem);
    // Spread, so that a thousand open pages do not come back at once.
    await pause(wait * (0.5 + Math.random() / 2), stop);
  }
}

/** Aborts its signal unless it is broken again and again. */
class Silence {
  readonly #controller = new AbortController();
  #timer = this.#start();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  broken(): void {
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): ReturnType<typeof setTimeout> {
    return setTimeout(() => this.#controller.abort(), SILENCE_MS);
  }
}

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    stop.addEventListener("abort", done);
  });
}

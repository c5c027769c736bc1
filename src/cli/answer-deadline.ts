import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** Calls that change nothing, by how their methods are called. */
const READS = /^(Get|List|Watch|Test|Prove|Export|Sign)/;

/**
 * Ends a call that is not answered in time, and a stream of which nothing more comes in time, however long the whole of it takes.
 *
 * @param who such as "the service at https://authz.internal:7442"
 */
export function answerDeadline(who: string, timeoutMs: number): Interceptor {
  return (next) => async (request) => {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), timeoutMs);
    const tooLate = (): ConnectError => lateAnswer(who, timeoutMs, !READS.test(request.method.name));
    const signal = AbortSignal.any([request.signal, silence.signal]);
    try {
      const response = await inTime(next({ ...request, signal }), silence.signal);
      if (!response.stream) {
        clearTimeout(timer);
        return response;
      }
      return { ...response, message: watched(response.message, timer, silence, tooLate) };
    } catch (error) {
      clearTimeout(timer);
      throw silence.signal.aborted ? tooLate() : error;
    }
  };
}

async function* watched<Message>(
  messages: AsyncIterable<Message>,
  timer: NodeJS.Timeout,
  silence: AbortController,
  tooLate: () => ConnectError,
): AsyncGenerator<Message> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      timer.refresh();
      const { value, done } = await inTime(iterator.next(), silence.signal);
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw silence.signal.aborted ? tooLate() : error;
  } finally {
    clearTimeout(timer);
    // A reader that breaks off ends the call.
    silence.abort();
  }
}

/** As `work`, or rejects when `silence` is aborted: a transport may take its time over an abort. */
function inTime<Result>(work: Promise<Result>, silence: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onSilence = (): void => reject(new Error("no answer in time"));
    silence.addEventListener("abort", onSilence, { once: true });
    work.then(resolve, reject).finally(() => silence.removeEventListener("abort", onSilence));
  });
}

function lateAnswer(who: string, timeoutMs: number, mayBeDone: boolean): ConnectError {
  const unknown = mayBeDone ? " Whether the change was made is unknown: check before you repeat it." : "";
  return new ConnectError(
    `${who} did not answer within ${timeoutMs / 1000} s: check whether it is overloaded or stopped, or set a longer --timeout.${unknown}`,
    Code.Unavailable,
  );
}

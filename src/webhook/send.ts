import { messageOf } from "../core/fault.ts";

/** What went wrong with an attempt, for operators to read; it says nothing of the URL's path, which may hold a secret. */
export class NotDeliveredError extends Error {
  override readonly name = "NotDeliveredError";
}

/** So much of an answer is read, only so that its connection can be used again. */
const MAX_ANSWER_BYTES = 16 * 1024;

/**
 * Posts one message. Resolves if the receiver has taken it, which is what a status from 200 to 299 says; what else it answers is of no
 * interest. Redirects are not followed: they would send the message where nobody configured.
 *
 * @param signal ends the attempt
 * @throws NotDeliveredError
 */
export async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "datacrawl",
        ...headers,
      },
      body,
      redirect: "manual",
      signal,
    });
  } catch (error) {
    throw new NotDeliveredError(reasonOf(error, signal));
  }
  await discard(response);
  if (response.ok) return;
  const redirect = response.status >= 300 && response.status < 400;
  throw new NotDeliveredError(
    `the receiver answered ${response.status}${redirect ? ", and redirects are not followed" : ""}`,
  );
}

async function discard({ body }: Response): Promise<void> {
  if (body === null) return;
  let bytes = 0;
  try {
    // Leaving the loop early ends the connection.
    for await (const chunk of body) {
      bytes += (chunk as Uint8Array).length;
      if (bytes > MAX_ANSWER_BYTES) return;
    }
  } catch {
    // The status has come, and decides.
  }
}

function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return messageOf(signal.reason);
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : messageOf(cause);
}

import { bearerToken, CertificateReader, type Identity, type Presented } from "./identity.ts";
import type { Attempt, Exchange, RawReply, Transport } from "./transport.ts";

type Send = (attempt: Attempt, presented: Presented) => Exchange;

/** Sends each attempt with what proves who asks: a key as it is, whatever may change as it is then. */
export function presenting({ bearer, certificateFiles }: Identity, send: Send): Transport["start"] {
  if (typeof bearer === "string" && certificateFiles === null) {
    const presented = { authorization: `Bearer ${bearer}`, certificate: null };
    return (attempt) => send(attempt, presented);
  }
  const certificates = certificateFiles && new CertificateReader(certificateFiles);
  return (attempt) =>
    sendLater(attempt, send, async () => ({
      certificate: certificates && (await certificates.read()),
      authorization: bearer === null ? null : `Bearer ${await bearerToken(bearer)}`,
    }));
}

function sendLater(attempt: Attempt, send: Send, present: () => Promise<Presented>): Exchange {
  let sent: Exchange | null = null;
  let isAbandoned = false;
  const reply = inTime(present(), attempt.timeoutMs / 2).then(
    (presented) => {
      if (isAbandoned) return unsent("the call was given up");
      sent = send(attempt, presented);
      return sent.reply;
    },
    (error: Error) => unsent(error.message),
  );
  return {
    reply,
    abandon(why) {
      isAbandoned = true;
      sent?.abandon(why);
    },
  };
}

function unsent(problem: string): RawReply {
  return { kind: "unsent", problem };
}

/** Half of the call's time: who cannot say who it is in time must not look like a service that does not answer. */
async function inTime<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("the token did not come in time")), milliseconds).unref();
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

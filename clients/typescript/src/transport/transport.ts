import type { Identity } from "./identity.ts";

/**
 * How a guard reaches the service. A transport moves bytes and hides nothing: it returns the status, the headers as they
 * stood on the wire, the body and the trailers, and leaves it to `framing-*.ts` and `interpret.ts` to say what they mean.
 */

/** One attempt at a call with one request message. */
export interface Attempt {
  /** Such as "Authorize". */
  readonly method: string;
  /** The request message in protobuf. */
  readonly message: Uint8Array;
  /** How long the caller waits from now, in whole milliseconds, at least 1: the service is told. */
  readonly timeoutMs: number;
  /** A longer reply is broken off. */
  readonly maxReplyBytes: number;
  /** Somebody waits for the reply: the process does not end meanwhile. */
  readonly awaited: boolean;
  /** The method answers with a stream of messages; the reply is then the whole of it. */
  readonly streams?: boolean;
  /** The W3C `traceparent` to send. */
  readonly traceparent?: string | null;
}

export interface Transport {
  /** Starts an attempt. Never throws. */
  start(attempt: Attempt): Exchange;
  /** Breaks off what is under way, as unreachable, and lets go of every connection. */
  close(): void;
}

export interface Exchange {
  /** Never rejects. */
  readonly reply: Promise<RawReply>;
  /**
   * Gives up; `reply` may then take its time, and is of no interest. `silent`: the caller's time has run out, so that a
   * connection on which nothing was heard is not used again.
   */
  abandon(why: "silent" | "cancelled"): void;
}

/** Names in lower case, values as sent; repeated fields are repeated. */
export type Headers = readonly (readonly [name: string, value: string])[];

export type RawReply =
  | {
      readonly kind: "reply";
      readonly httpStatus: number;
      readonly headers: Headers;
      readonly body: Buffer;
      /** Null if the reply ended without a trailer section of its own. */
      readonly trailers: Headers | null;
    }
  /**
   * There is no whole reply. `unreachable`: no connection, or it was lost, or the server says that it did not look at the call.
   * `reset`: the server broke this call off. `protocol`: what arrived is not HTTP, or is over a limit.
   */
  | { readonly kind: "broken"; readonly how: "unreachable" | "reset" | "protocol"; readonly problem: string }
  /** Nothing was sent: the agent could not say who it is. */
  | { readonly kind: "unsent"; readonly problem: string };

/** Where the service is, and as whom to ask. */
export interface Endpoint {
  /** `http:` or `https:`, host and port. */
  readonly url: URL;
  /** What proves who asks. */
  readonly identity: Identity;
  /** Certificate authorities in PEM to trust instead of the system's. */
  readonly ca?: string;
}

/** The values of a field, of which a strict reader wants exactly one or none. */
export function valuesOf(headers: Headers, name: string): string[] {
  return headers.filter(([other]) => other === name).map(([, value]) => value);
}

/** `raw` as Node hands it over: name, value, name, value. */
export function pairs(raw: readonly string[]): Headers {
  const headers: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    headers.push([(raw[index] as string).toLowerCase(), raw[index + 1] as string]);
  }
  return headers;
}

/** A failed socket, name look-up or handshake, for people. */
export function networkProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // With several addresses to try, Node throws an AggregateError whose own message is empty.
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  return error.message === "" && first instanceof Error ? first.message : error.message;
}

/** Flag 0, for nothing is compressed; the length; the message. */
export function envelope(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(5 + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, 5);
  return bytes;
}

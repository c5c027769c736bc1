/**
 * A protocol moves bytes and hides nothing: it keeps the status, the headers as they stood on the wire, the body and the trailers,
 * and leaves it to `framing-*.ts` and `interpret.ts` to say what they mean.
 */
import { type Failure, malformed } from "../call/outcome.ts";
import type { Reply } from "./transport.ts";

/** Names in lower case, values as sent; repeated fields are repeated. */
export type Headers = readonly (readonly [name: string, value: string])[];

export interface WholeReply {
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
export interface BrokenReply {
  readonly kind: "broken";
  readonly how: "unreachable" | "reset" | "protocol";
  readonly problem: string;
}

export type RawReply = WholeReply | BrokenReply;

export function broken(how: BrokenReply["how"], problem: string): BrokenReply {
  return { kind: "broken", how, problem };
}

export function unframeBroken({ how, problem }: BrokenReply): Failure {
  switch (how) {
    case "unreachable":
      return { kind: "unavailable", problem };
    case "reset":
      return { kind: "failed", problem };
    case "protocol":
      return malformed(problem);
  }
}

/** What gateways say when the service behind them is away. */
const AWAY = new Set([502, 503, 504]);

/** What a reply comes to that is HTTP and nothing of the protocol's own. */
export function foreignReply({ httpStatus, headers }: WholeReply): Failure {
  const problem = `HTTP ${httpStatus}, content type ${onlyValue(headers, "content-type") ?? "missing"}`;
  return AWAY.has(httpStatus) ? { kind: "unavailable", problem } : malformed(problem);
}

/** The values of a field, of which a strict reader wants exactly one or none. */
export function valuesOf(headers: Headers, name: string): string[] {
  return headers.filter(([other]) => other === name).map(([, value]) => value);
}

/** A field's value if there is exactly one. */
export function onlyValue(headers: Headers, name: string): string | undefined {
  const values = valuesOf(headers, name);
  return values.length === 1 ? values[0] : undefined;
}

/** Nobody asked for compression, so that nothing can inflate: any coding but none is malformed. */
export function isEncoded(headers: Headers, name: string): boolean {
  return valuesOf(headers, name).some((coding) => coding !== "identity");
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

const PREFIX_BYTES = 5;

export interface Frame {
  readonly flag: number;
  readonly bytes: Uint8Array;
}

/** Flag 0, for nothing is compressed; the length; the message. */
export function envelope(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** The frames that a body consists of, or null if it is not exactly such. */
export function framesOf(body: Buffer): readonly Frame[] | null {
  const frames: Frame[] = [];
  for (let at = 0; at < body.length; ) {
    if (body.length - at < PREFIX_BYTES) return null;
    const start = at + PREFIX_BYTES;
    const end = start + body.readUInt32BE(at + 1);
    if (end > body.length) return null;
    frames.push({ flag: body[at] ?? 0, bytes: body.subarray(start, end) });
    at = end;
  }
  return frames;
}

/** Messages, each in a frame of its own that is not compressed. */
export function messagesOf(frames: readonly Frame[]): Reply {
  if (frames.length === 0) return malformed("the answer has no message");
  const other = frames.find(({ flag }) => flag !== 0);
  if (other !== undefined) return malformed(`the answer's frame has flag ${other.flag}`);
  return { kind: "messages", unverifiedMessages: frames.map(({ bytes }) => bytes) };
}

import { malformed, type Outcome } from "../call/outcome.ts";
import { type Headers, type RawReply, valuesOf } from "./transport.ts";

/** A whole reply out of its envelope: bytes that are said to be the response message, or what else the reply comes to. */
export type Unframed = { readonly kind: "message"; readonly unverifiedMessage: Uint8Array } | Outcome;

/** The same of a reply that is a stream: its messages, of which there is at least one. */
export type UnframedStream =
  | { readonly kind: "messages"; readonly unverifiedMessages: readonly Uint8Array[] }
  | Outcome;

export type WholeReply = Extract<RawReply, { kind: "reply" }>;

/** What a reply comes to that is not whole. */
export function unframeBroken(reply: Exclude<RawReply, WholeReply>): Outcome {
  if (reply.kind === "unsent") return reply;
  switch (reply.how) {
    case "unreachable":
      return { kind: "unavailable", problem: reply.problem };
    case "reset":
      return { kind: "failed", problem: reply.problem };
    case "protocol":
      return malformed(reply.problem);
  }
}

/** What gateways say when the service behind them is away. */
const AWAY = new Set([502, 503, 504]);

/** What a reply comes to that is HTTP and nothing of the protocol's own. */
export function foreignReply({ httpStatus, headers }: WholeReply): Outcome {
  const problem = `HTTP ${httpStatus}, content type ${onlyValue(headers, "content-type") ?? "missing"}`;
  return AWAY.has(httpStatus) ? { kind: "unavailable", problem } : malformed(problem);
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

const PREFIX_BYTES = 5;

export interface Frame {
  readonly flag: number;
  readonly bytes: Uint8Array;
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
export function messagesOf(frames: readonly Frame[]): UnframedStream {
  if (frames.length === 0) return malformed("the answer has no message");
  const other = frames.find(({ flag }) => flag !== 0);
  if (other !== undefined) return malformed(`the answer's frame has flag ${other.flag}`);
  return { kind: "messages", unverifiedMessages: frames.map(({ bytes }) => bytes) };
}

import { malformed, type Outcome } from "./outcome.ts";
import { type Headers, type RawReply, valuesOf } from "./transport.ts";

/** A whole reply out of its envelope: bytes that are said to be the response message, or what else the reply comes to. */
export type Unframed = { readonly kind: "message"; readonly unverifiedMessage: Uint8Array } | Outcome;

export type WholeReply = Extract<RawReply, { kind: "reply" }>;

/** What a reply comes to that is not whole. */
export function unframeBroken(reply: Exclude<RawReply, WholeReply>): Outcome {
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

import type { Deadline, Stopped } from "@datacrawl/core/deadline";
import type { Failure } from "../call/outcome.ts";
import { type Credentials, CredentialSource, type Identity } from "./identity.ts";
import { openConnect } from "./transport-connect.ts";
import { openGrpc } from "./transport-grpc.ts";

/** One call of a method with one request message. */
export interface Rpc {
  /** Such as "Authorize". */
  readonly method: string;
  /** The request message in protobuf. */
  readonly message: Uint8Array;
  /** A longer reply is broken off. */
  readonly maxReplyBytes: number;
  /** How long the service may take, in milliseconds, if that is less than the deadline leaves. */
  readonly timeoutMs?: number;
  /** The method answers with a stream of messages; the reply is then the whole of it. */
  readonly streams?: boolean;
  /** The W3C `traceparent` to send. */
  readonly traceparent?: string | null;
}

/** A whole reply without its envelope: the bytes of its messages, at least one, or why there is no message. */
export type Reply = { readonly kind: "messages"; readonly unverifiedMessages: readonly Uint8Array[] } | Failure;

/** An {@link Rpc} as it is sent. */
export interface Attempt extends Rpc, Credentials {
  /** How long the caller waits from now, in whole milliseconds, at least 1. It is sent to the service. */
  readonly timeoutMs: number;
  /** Somebody waits for the reply: the process does not end meanwhile. */
  readonly awaited: boolean;
}

export interface Exchange {
  /** Never rejects. */
  readonly reply: Promise<Reply>;
  /**
   * Gives up; `reply` may then take its time, and is of no interest. `silent`: the caller's time has run out, so that a
   * connection on which nothing was heard is not used again.
   */
  abandon(why: "silent" | "cancelled"): void;
}

/** gRPC, or Connect. */
export interface Protocol {
  /** Never throws. */
  send(attempt: Attempt): Exchange;
  /** Breaks off what is under way, as unreachable, and lets go of every connection. */
  close(): void;
}

/** Where the service is, and the identity to ask with. */
export interface Endpoint {
  /** `http:` or `https:`, host and port. */
  readonly url: URL;
  /** What proves who asks. */
  readonly identity: Identity;
  /** Certificate authorities in PEM to trust instead of the system's. */
  readonly ca?: string;
}

/** How a guard reaches the service. */
export class Transport {
  readonly #protocol: Protocol;
  readonly #source: CredentialSource;

  constructor(protocol: "grpc" | "connect", endpoint: Endpoint) {
    this.#protocol = protocol === "grpc" ? openGrpc(endpoint) : openConnect(endpoint);
    this.#source = new CredentialSource(endpoint.identity);
  }

  /** Calls once. Never rejects, and ends with `deadline`; a reply may still come late by its clock. */
  async call(rpc: Rpc, deadline: Deadline): Promise<Reply | Stopped> {
    const credentials = this.#source.fixed ?? (await this.#credentials(deadline));
    if ("kind" in credentials) return credentials;
    const timeoutMs = Math.max(1, Math.floor(Math.min(deadline.leftMs, rpc.timeoutMs ?? Number.POSITIVE_INFINITY)));
    const exchange = this.#protocol.send({ ...rpc, ...credentials, timeoutMs, awaited: deadline.awaited });
    const ended = await deadline.race(exchange.reply);
    if (ended.kind === "done") return ended.value;
    exchange.abandon(ended.kind === "deadline" ? "silent" : "cancelled");
    return ended;
  }

  /** Breaks off what is under way, as unreachable, and lets go of every connection. */
  close(): void {
    this.#protocol.close();
  }

  async #credentials(deadline: Deadline): Promise<Credentials | Failure | Stopped> {
    // Half of the call's time: an agent that gets no token in time must not look like a service that does not answer.
    using half = deadline.within(deadline.leftMs / 2);
    try {
      const read = await half.race(this.#source.read());
      if (read.kind === "done") return read.value;
      return read.kind === "deadline" ? { kind: "unsent", problem: "the token did not come in time" } : read;
    } catch (error) {
      return { kind: "unsent", problem: (error as Error).message };
    }
  }
}

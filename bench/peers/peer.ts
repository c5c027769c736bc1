import type { Expectation } from "../load/answer.ts";

/** A running server that the generator can load. */
export interface Peer {
  readonly name: string;
  readonly port: number;
  /** Of the other processes that share the load. */
  readonly otherPorts?: readonly number[];
  /** The gRPC method, as `/package.Service/Method`. */
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly request: PrebuiltRequest;
  readonly expected: Expectation;
  /** Its processes' ids by role; what is measured is each with its descendants. */
  readonly processes: { readonly service: number } & Readonly<Record<string, number>>;
  /** Begins what goes on beside it while it is loaded. */
  readonly beside?: () => Promise<AsyncDisposable>;
}

/** A request message in which only the idempotency key changes. */
export interface PrebuiltRequest {
  readonly message: Buffer;
  /** Where the key starts. */
  readonly keyAt: number;
}

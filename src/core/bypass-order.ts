import type { Micros } from "./clock.ts";

/** A bypass order, which is a grant or the revocation of one, as the service stores it. */
export interface StoredBypassOrder {
  readonly agentId: string;
  readonly epoch: number;
  /** Null for a revocation. */
  readonly grantId: string | null;
  readonly tools: readonly string[] | "*";
  readonly operator: string;
  readonly reason: string;
  readonly issuedAt: Micros;
  readonly expiresAt: Micros;
  /** The signed token. */
  readonly token: string;
}

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

/** A grant as operators see it, and how it ended if it has. */
export interface GrantView {
  readonly order: StoredBypassOrder;
  /** When a later order replaced or revoked it; null while it is the newest. */
  readonly endedAt: Micros | null;
  readonly endedBy: string | null;
  readonly endedBecause: string | null;
}

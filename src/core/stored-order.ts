import type { Micros } from "./clock.ts";

/** The newest order for an agent, as the service keeps it. */
export interface StoredOrder {
  readonly agentId: string;
  readonly epoch: number;
  /** Null for a revocation. */
  readonly grantId: string | null;
  readonly tools: readonly string[] | "*";
  readonly operator: string;
  readonly reason: string;
  readonly issuedAt: Micros;
  readonly expiresAt: Micros;
  /** The signed order. */
  readonly token: string;
}

import type { Micros } from "../core/clock.ts";
import { ROLES, type Role } from "../authn/role.ts";

/** Who calls AdminService, as far as that has been proven. */
export type Caller =
  /** Anybody who can open the admin socket: a way in, not an identity. */
  | { readonly kind: "socket" }
  /** A named human or machine whose sign-in or token has been verified. */
  | {
      readonly kind: "operator";
      readonly name: string;
      readonly role: Role;
      /** When the human proved who they are; null for a machine's token, which says nothing of that. */
      readonly signedInAt: Micros | null;
      /** How (RFC 8176 `amr`); empty for a machine's token. */
      readonly methods: readonly string[];
    };

/** How the audit trail names a caller. */
export function actorOf(caller: Caller): string {
  return caller.kind === "socket" ? "socket" : `operator:${caller.name}`;
}

export function hasRole(role: Role, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

import type { HandlerContext } from "@connectrpc/connect";
import type { Caller } from "../../admin/caller.ts";
import type { Named, Sessions } from "../../admin/sessions.ts";
import type { OperatorTokens } from "../../admin/tokens.ts";
import { bearerOf } from "../../core/credential.ts";
import { Fault } from "../../core/fault.ts";
import { clearCookie, sessionCookie, sessionToken } from "./cookie.ts";

/** Where a call came in. */
export type Ingress =
  /** The Unix socket, or this very process: a way in, not an identity. */
  { readonly kind: "socket" } | { readonly kind: "network"; readonly tls: boolean };

/** What can prove who calls; without an issuer there are no tokens. */
export interface Identities {
  readonly sessions: Sessions;
  readonly tokens: OperatorTokens | null;
}

/**
 * Finds out who calls: the bearer of a token, the human of a session, or, without either, the socket.
 *
 * @param isUse whether a session counts as used by it
 * @throws Fault if that cannot be proven
 */
export async function identify(
  context: HandlerContext,
  ingress: Ingress,
  { sessions, tokens }: Identities,
  isUse = true,
): Promise<Caller> {
  const authorization = context.requestHeader.get("authorization");
  if (authorization !== null) return await verifyBearer(authorization, tokens);
  const token = sessionToken(context.requestHeader, isSecure(ingress));
  if (token !== null) return await sessions.verify(token, isUse);
  if (ingress.kind === "socket") return { kind: "socket" };
  throw new Fault("CREDENTIAL_MISSING", "The call has no credential: send the cookie of a session, or a bearer token.");
}

async function verifyBearer(authorization: string, tokens: OperatorTokens | null): Promise<Caller> {
  const bearer = bearerOf(authorization);
  if (bearer === null || tokens === null || bearer.startsWith("dc_agent_")) {
    throw new Fault(
      "CREDENTIAL_UNKNOWN",
      "The authorization must be an operator's bearer token of a configured issuer.",
    );
  }
  return await tokens.verify(bearer);
}

/** An IP address, or `socket`. */
export function originOf(remoteAddress: string | undefined, ingress: Ingress): string {
  return ingress.kind === "socket" ? "socket" : (remoteAddress ?? "unknown");
}

export function setSessionCookie(context: HandlerContext, ingress: Ingress, token: string): void {
  context.responseHeader.append("set-cookie", sessionCookie(token, isSecure(ingress)));
}

export function clearSessionCookie(context: HandlerContext, ingress: Ingress): void {
  context.responseHeader.append("set-cookie", clearCookie(isSecure(ingress)));
}

/** The session that the request names, and its human; null if it names none, or one that has ended. */
export async function sessionOf(
  context: HandlerContext,
  ingress: Ingress,
  sessions: Sessions,
): Promise<{ token: string; named: Named } | null> {
  const token = sessionToken(context.requestHeader, isSecure(ingress));
  if (token === null) return null;
  try {
    return { token, named: await sessions.verify(token) };
  } catch (error) {
    if (error instanceof Fault && error.code === "SESSION_ENDED") return null;
    throw error;
  }
}

function isSecure(ingress: Ingress): boolean {
  return ingress.kind === "network" && ingress.tls;
}

import { SESSION_LIFETIME } from "../../admin/sessions.ts";

const NAME = "datacrawl_session";

/**
 * Scripts cannot read it, and no other site's request carries it. With TLS it is never sent in clear, and the prefix keeps
 * neighbouring hosts and ports from setting one of that name.
 */
export function sessionCookie(token: string, secure: boolean): string {
  return cookie(token, SESSION_LIFETIME / 1_000_000, secure);
}

export function clearCookie(secure: boolean): string {
  return cookie("", 0, secure);
}

/** The token in a request's cookies; null if there is none, or more than one. */
export function sessionToken(headers: Headers, secure: boolean): string | null {
  const prefix = `${nameOf(secure)}=`;
  const pairs = (headers.get("cookie") ?? "").split(";").map((pair) => pair.trim());
  const [token, ...further] = pairs.filter((pair) => pair.startsWith(prefix)).map((pair) => pair.slice(prefix.length));
  return token === undefined || token === "" || further.length > 0 ? null : token;
}

function cookie(value: string, maxAgeSeconds: number, secure: boolean): string {
  const attributes = [
    "Path=/",
    "HttpOnly",
    "SameSite=Strict",
    `Max-Age=${maxAgeSeconds}`,
    ...(secure ? ["Secure"] : []),
  ];
  return [`${nameOf(secure)}=${value}`, ...attributes].join("; ");
}

function nameOf(secure: boolean): string {
  return secure ? `__Host-${NAME}` : NAME;
}

import type { X509Certificate } from "node:crypto";
import { AGENT_ID } from "../core/names.ts";
import { maySignCertificates } from "./key-usage.ts";

const PLACEHOLDER = "{agent}";
/** One of the names in Node's text of them, which quotes what could be taken for two. */
const NAME = /(?:^|, )([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)/y;

/** What a certificate says of its holder. */
export type NamedByCertificate =
  | { readonly kind: "agent"; readonly agentId: string }
  /** It may be a mesh's own, and good for the connection alone. */
  | { readonly kind: "nobody" }
  /** It names an agent, and may not: `problem` ends a sentence whose subject is the certificate. */
  | { readonly kind: "unfit"; readonly problem: string };

/**
 * The agent that a certificate names: the one whose id makes one of its alternative names of the template's kind (URI or DNS) out of the
 * template, to the letter. As X.509-SVID has it, such a certificate has no other URI beside that of its agent, and signs no
 * certificates: who may sign could name anybody.
 */
export function namedBy(certificate: X509Certificate, template: string): NamedByCertificate {
  const kind = template.includes("://") ? "URI" : "DNS";
  const [before, after] = template.split(PLACEHOLDER) as [string, string];
  const names = alternativeNames(certificate.subjectAltName ?? "") ?? [];
  const ofKind = names.filter((name) => name.kind === kind);
  const [agentId, ...further] = ofKind
    .filter(({ value }) => value.length > before.length + after.length)
    .filter(({ value }) => value.startsWith(before) && value.endsWith(after))
    .map(({ value }) => value.slice(before.length, value.length - after.length))
    .filter((id) => AGENT_ID.test(id));
  if (agentId === undefined) return { kind: "nobody" };
  if (further.length > 0) return { kind: "unfit", problem: "names more than one agent" };
  if (kind === "URI" && ofKind.length > 1) return { kind: "unfit", problem: "has another URI beside its agent's" };
  if (maySignCertificates(certificate)) return { kind: "unfit", problem: "is an authority's, not an agent's" };
  return { kind: "agent", agentId };
}

/** What the trail knows a certificate by. */
export function certificateId({ fingerprint256 }: X509Certificate): string {
  return `cert:${fingerprint256.replaceAll(":", "").slice(0, 16).toLowerCase()}`;
}

/** Null if the text is of another form than is known here. */
function alternativeNames(text: string): { readonly kind: string; readonly value: string }[] | null {
  const names: { kind: string; value: string }[] = [];
  for (let end = 0; end < text.length; ) {
    NAME.lastIndex = end;
    const match = NAME.exec(text);
    if (match === null) return null;
    const [, kind, value] = match as unknown as [string, string, string];
    // A quoted name has characters that no agent's has.
    names.push({ kind, value });
    end = NAME.lastIndex;
  }
  return names;
}

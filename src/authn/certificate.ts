import type { X509Certificate } from "node:crypto";
import { AGENT_ID } from "./credential.ts";

const PLACEHOLDER = "{agent}";
/** One of the names in Node's text of them, which quotes what could be taken for two. */
const NAME = /(?:^|, )([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)/y;

/**
 * The agent that a certificate names: by exactly one of its alternative names of the template's kind (URI or DNS), which is the
 * template to the letter with an agent's id in it. Null if there is none, or several.
 */
export function agentNamed(certificate: X509Certificate, template: string): string | null {
  const kind = template.includes("://") ? "URI" : "DNS";
  const [before, after] = template.split(PLACEHOLDER) as [string, string];
  const agents = (alternativeNames(certificate.subjectAltName ?? "") ?? [])
    .filter((name) => name.kind === kind && name.value.length > before.length + after.length)
    .filter(({ value }) => value.startsWith(before) && value.endsWith(after))
    .map(({ value }) => value.slice(before.length, value.length - after.length));
  return agents.length === 1 && AGENT_ID.test(agents[0] as string) ? (agents[0] as string) : null;
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

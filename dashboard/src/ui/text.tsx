/**
 * Text that came from an agent. React keeps markup harmless; marks that change the direction of writing, control characters and
 * whatever else nobody sees are shown as escapes, so that nothing reads as what it is not.
 */
export function Untrusted({ text, limit = 2000 }: { readonly text: string; readonly limit?: number }) {
  const shown = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return <bdi>{visible(shown)}</bdi>;
}

/** An agent's id, in one line unless it is long: a browser breaks at hyphens. */
export function AgentId({ id }: { readonly id: string }) {
  return <span className={id.length > 24 ? "tool" : "nowrap"}>{id}</span>;
}

/** Who did something, as people call them: `operator:ann` of the trail is ann. Others, such as `service`, stay as they are. */
export function person(actor: string): string {
  return actor.replace(/^operator:/, "");
}

export function visible(text: string): string {
  return text.replace(/(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => {
    const code = (char.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
  });
}

/** JSON text, indented; other text unchanged. Only the start of very long text. */
export function Json({ text }: { readonly text: string }) {
  const limit = 100_000;
  return (
    <pre className="block" tabIndex={0} aria-label="JSON">
      {visible(indented(text).slice(0, limit))}
      {text.length > limit ? "\n… the rest is not shown here: `datacrawl decision show` prints it whole" : ""}
    </pre>
  );
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

import type { ReactNode } from "react";
import { Untrusted } from "./text.tsx";

/** One step of what happened. */
export function Step({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <li>
      <h2>{title}</h2>
      <div className="card">{children}</div>
    </li>
  );
}

/** Names and what they are; those that are null are left out. */
export function Facts({ facts }: { readonly facts: readonly (readonly [name: string, fact: ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts
        .filter(([, fact]) => fact !== null)
        .map(([name, fact]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{fact}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Most decisions have none of these: what is not there is left out. */
export function optional(text: string | undefined): ReactNode {
  return text === undefined || text === "" ? null : <Code text={text} />;
}

export function Code({ text }: { readonly text: string | undefined }) {
  return text === undefined || text === "" ? (
    <span className="muted">none</span>
  ) : (
    <code>
      <Untrusted text={text} />
    </code>
  );
}

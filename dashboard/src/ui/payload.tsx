import { useState } from "react";
import { Json, Untrusted, visible } from "./text.tsx";

/** Longer ones are shown as JSON, of which there is an end. */
const LONGEST = 20_000;

/** A request's payload, for who must judge it: each member by its name, texts as they would be read. Or, if wanted, as JSON. */
export function Payload({ text }: { readonly text: string }) {
  const [asJson, setAsJson] = useState(false);
  const members = text.length > LONGEST ? null : membersOf(text);
  if (members === null) return <Json text={text} />;
  return (
    <>
      {asJson ? (
        <Json text={text} />
      ) : (
        <dl className="payload" aria-label="Payload">
          {members.map(([name, value]) => (
            <div key={name}>
              <dt>
                <Untrusted text={name} limit={200} />
              </dt>
              <dd>
                <pre>{visible(typeof value === "string" ? value : JSON.stringify(value, null, 2))}</pre>
              </dd>
            </div>
          ))}
        </dl>
      )}
      <button type="button" className="link" aria-pressed={asJson} onClick={() => setAsJson(!asJson)}>
        as JSON
      </button>
    </>
  );
}

/** Null if it is no object, or an empty one. */
function membersOf(text: string): [string, unknown][] | null {
  try {
    const members = Object.entries(JSON.parse(text) as object);
    return members.length === 0 ? null : members;
  } catch {
    return null;
  }
}

import { Link } from "wouter";
import { Untrusted } from "./text.tsx";

/** On whose behalf an agent acts, and all that was done so. */
export function Principal({ name }: { readonly name: string }) {
  return (
    <Link href={`/decisions?principal=${encodeURIComponent(name)}`}>
      <Untrusted text={name} />
    </Link>
  );
}

/** The run or conversation that a call belongs to, and all of it. In the search, as a path would not hold a session called "..". */
export function Session({ id }: { readonly id: string }) {
  return (
    <Link href={`/sessions?id=${encodeURIComponent(id)}`}>
      <Untrusted text={id} />
    </Link>
  );
}

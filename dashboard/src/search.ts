import { useMemo } from "react";
import { navigate, useSearch as useRawSearch } from "wouter/use-browser-location";

/** Sets what `change` names; an empty text removes it. The way back of the browser leads past it, but for `replace: false`. */
export type SetSearch = (change: Readonly<Record<string, string>>, options?: { readonly replace: boolean }) => void;

/**
 * What the address searches for. wouter's own hook decodes the address twice: of a session that is called `100%41` it makes `100A`.
 */
export function useSearch(): readonly [search: URLSearchParams, set: SetSearch] {
  const raw = useRawSearch();
  const search = useMemo(() => new URLSearchParams(raw), [raw]);
  return [search, setSearch];
}

const setSearch: SetSearch = (change, options = { replace: true }) => {
  const { pathname, search } = window.location;
  const after = new URLSearchParams(search);
  for (const [name, value] of Object.entries(change)) {
    if (value === "") after.delete(name);
    else after.set(name, value);
  }
  navigate(after.size === 0 ? pathname : `${pathname}?${after.toString()}`, options);
};

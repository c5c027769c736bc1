import { type ComponentProps, type KeyboardEvent, useEffect, useEffectEvent, useState } from "react";
import { TextField } from "./field.tsx";

/** Each search reads the trail: not one for each letter. */
const PAUSE_MS = 400;

/** A text that is searched for: taken over when the typing pauses, or with Enter. */
export function SearchField({ value, onChange, ...field }: ComponentProps<typeof TextField>) {
  const [{ typed, since }, setState] = useState({ typed: value, since: value });
  const setTyped = (text: string): void => setState({ typed: text, since: value });
  // The address may change otherwise, such as by the browser's way back.
  if (since !== value) setState({ typed: value, since: value });
  const search = useEffectEvent(() => onChange(typed));
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => search(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, value]);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Enter") onChange(typed);
  };
  return (
    <TextField {...field} type="search" autoComplete="off" value={typed} onChange={setTyped} onKeyDown={onKeyDown} />
  );
}

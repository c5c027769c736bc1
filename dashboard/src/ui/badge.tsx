import type { ReactNode } from "react";
import { Icon, type IconName } from "./icon.tsx";

export type Tone = "allow" | "deny" | "review" | "outage" | "neutral";

const ICONS: Readonly<Record<Tone, IconName>> = {
  allow: "check",
  deny: "cross",
  review: "eye",
  outage: "bolt",
  neutral: "circle",
};

/** A state in a word, with a shape and a colour of its own. */
export function Badge({
  tone,
  children,
  icon,
}: {
  readonly tone: Tone;
  readonly children: ReactNode;
  readonly icon?: IconName;
}) {
  return (
    <span className={`badge ${tone}`}>
      <Icon name={icon ?? ICONS[tone]} />
      {children}
    </span>
  );
}

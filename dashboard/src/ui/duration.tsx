import { type Duration, durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Choices, Select } from "./field.tsx";

interface DurationProps {
  /** Hours, as text; empty for no end. */
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly hours: readonly number[];
  /** The words for no end, where there may be none. */
  readonly endless?: string;
}

/** How long something is to hold. */
export function DurationField({ value, onChange, hours, endless }: DurationProps) {
  const choices: Choices = [
    ...hours.map((choice) => [String(choice), words(choice)] as const),
    ...(endless === undefined ? [] : [["", endless] as const]),
  ];
  return <Select label="For how long" value={value} onChange={onChange} choices={choices} />;
}

/** Undefined for no end. */
export function durationOf(hours: string): Duration | undefined {
  return hours === "" ? undefined : durationFromMs(Number(hours) * 3_600_000);
}

function words(hours: number): string {
  if (hours < 1) return `${hours * 60} minutes`;
  return hours === 1 ? "1 hour" : `${hours} hours`;
}

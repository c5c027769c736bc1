import { TextArea } from "./field.tsx";

interface ReasonProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** Why an operator does it: every change asks. */
export function ReasonField({ value, onChange }: ReasonProps) {
  return (
    <TextArea
      label="Reason"
      hint="Kept in the audit trail."
      required
      maxLength={500}
      value={value}
      onChange={onChange}
    />
  );
}

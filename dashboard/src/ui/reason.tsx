import { Field } from "./field.tsx";

interface ReasonProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** Why an operator does it: every change asks. */
export function ReasonField({ value, onChange }: ReasonProps) {
  return (
    <Field label="Reason" hint="Kept in the audit trail.">
      {(input) => (
        <textarea
          {...input}
          required
          maxLength={500}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
    </Field>
  );
}

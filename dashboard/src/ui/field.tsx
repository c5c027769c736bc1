import { type ComponentProps, type ReactNode, useId } from "react";

interface FieldProps {
  readonly label: string;
  readonly hint?: string | undefined;
  /** Given the id that ties the label, and the hint's, to the input. */
  readonly children: (props: { readonly id: string; readonly "aria-describedby"?: string }) => ReactNode;
}

/** A labelled input. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  const hintId = `${id}-hint`;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(hint === undefined ? { id } : { id, "aria-describedby": hintId })}
      {hint === undefined ? null : (
        <p className="hint" id={hintId}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface Labelled {
  readonly label: string;
  readonly hint?: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

type Rest<Element extends "input" | "textarea" | "select"> = Omit<ComponentProps<Element>, keyof Labelled | "id">;

export function TextField({ label, hint, onChange, ...input }: Labelled & Rest<"input">) {
  return (
    <Field label={label} hint={hint}>
      {(tied) => <input {...tied} {...input} onChange={(event) => onChange(event.target.value)} />}
    </Field>
  );
}

export function TextArea({ label, hint, onChange, ...input }: Labelled & Rest<"textarea">) {
  return (
    <Field label={label} hint={hint}>
      {(tied) => <textarea {...tied} {...input} onChange={(event) => onChange(event.target.value)} />}
    </Field>
  );
}

/** What may be chosen: each value with the words for it. */
export type Choices = readonly (readonly [value: string, words: string])[];

export function Select({ label, hint, onChange, choices, ...input }: Labelled & Rest<"select"> & { choices: Choices }) {
  return (
    <Field label={label} hint={hint}>
      {(tied) => (
        <select {...tied} {...input} onChange={(event) => onChange(event.target.value)}>
          {choices.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

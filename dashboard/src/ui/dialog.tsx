import { type FormEvent, type ReactNode, useEffect, useId, useRef } from "react";
import { sayFailure } from "./state.tsx";

interface DialogProps {
  readonly title: string;
  /** The words on the button that does it. */
  readonly action: string;
  readonly danger?: boolean;
  /** False where everything is done already, and there is nothing to take back. */
  readonly canCancel?: boolean;
  readonly busy: boolean;
  /** Why the last attempt failed; what was typed stays. */
  readonly error: unknown;
  readonly onSubmit: () => void;
  readonly onClose: () => void;
  readonly children: ReactNode;
}

/** A form over the page. Escape and "Cancel" close it; a failure keeps it open with all that was typed. */
export function FormDialog({
  title,
  action,
  danger,
  canCancel = true,
  busy,
  error,
  onSubmit,
  onClose,
  children,
}: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    if (dialog.current?.open === false) dialog.current.showModal();
    return () => focusAgain(before);
  }, []);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={onClose}>
      <form onSubmit={submit}>
        <h2 id={heading}>{title}</h2>
        {children}
        {error === null || error === undefined ? null : (
          <p className="notice deny field" role="alert">
            {sayFailure(error)}
          </p>
        )}
        <div className="actions">
          <button type="submit" className={danger === true ? "danger" : "primary"} disabled={busy}>
            {busy ? "Working…" : action}
          </button>
          {canCancel ? (
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
          ) : null}
        </div>
      </form>
    </dialog>
  );
}

/** Who uses a keyboard goes on where a dialog was opened, also when its success took it away. */
export function focusAgain(before: Element | null): void {
  if (before instanceof HTMLElement && before.isConnected) before.focus();
}

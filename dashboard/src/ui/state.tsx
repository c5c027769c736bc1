import { Code, ConnectError } from "@connectrpc/connect";
import type { ReactNode } from "react";

/** Nothing is there, and what would bring something. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <p>
        <strong>{title}</strong>
      </p>
      {children}
    </div>
  );
}

export function Loading({ what }: { readonly what: string }) {
  return (
    <p className="loading" role="status">
      Loading {what}…
    </p>
  );
}

/** What went wrong, in the service's words, and a way to try again. */
export function Problem({ error, retry }: { readonly error: unknown; readonly retry?: () => void }) {
  return (
    <div className="problem" role="alert">
      <p>{sayProblem(error)}</p>
      {retry === undefined ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function sayProblem(error: unknown): string {
  const problem = ConnectError.from(error);
  if (problem.code === Code.Unavailable || problem.code === Code.Unknown)
    return "The service cannot be reached. Nothing was changed; agents' guards deny meanwhile.";
  if (problem.code === Code.DeadlineExceeded) return "The service took too long to answer.";
  return problem.rawMessage;
}

interface Asked<Data> {
  readonly data: Data | undefined;
  readonly error: unknown;
  readonly refetch: () => unknown;
}

/** Shows what was asked for, or that it is on its way, or why it did not come. What is there already stays when it cannot be renewed. */
export function Shown<Data>({
  of: { data, error, refetch },
  what,
  children,
}: {
  readonly of: Asked<Data>;
  readonly what: string;
  readonly children: (data: Data) => ReactNode;
}) {
  if (data !== undefined) return children(data);
  if (error !== null && error !== undefined) return <Problem error={error} retry={() => void refetch()} />;
  return <Loading what={what} />;
}

import { Code, ConnectError } from "@connectrpc/connect";
import type { ReactNode } from "react";
import { ErrorInfoSchema } from "@datacrawl/proto/google/rpc/error_details_pb";
import { isFinal } from "../api.ts";

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

interface ProblemProps {
  readonly error: unknown;
  readonly retry: () => void;
  /** What else to say of it. */
  readonly children?: ReactNode;
}

/** What went wrong, in the service's words, and a way to try again where that may help. */
export function Problem({ error, retry, children }: ProblemProps) {
  return (
    <div className="problem" role="alert">
      <p>{sayProblem(error)}</p>
      {children}
      {isFinal(error) ? null : (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function sayProblem(error: unknown): string {
  const problem = ConnectError.from(error);
  if (isUnheard(problem)) return "The service cannot be reached.";
  if (problem.code === Code.DeadlineExceeded) return "The service took too long to answer.";
  return problem.rawMessage;
}

/** The same of something that was to be done: who gets no answer does not know whether it was done. */
export function sayFailure(error: unknown): string {
  const problem = ConnectError.from(error);
  const unknown = UNKNOWN.has(problem.code);
  return unknown
    ? `${sayProblem(problem)} Whether it was done is unknown: look before you try again.`
    : sayProblem(problem);
}

const UNKNOWN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Unknown, Code.DeadlineExceeded, Code.Canceled]);

/** Whether nothing came from the service at all: whatever it says itself has details. */
function isUnheard(problem: ConnectError): boolean {
  const { code } = problem;
  return (code === Code.Unavailable || code === Code.Unknown) && problem.findDetails(ErrorInfoSchema).length === 0;
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

import { DeniedError } from "../denied-error.ts";
import { AlreadyStartedError, NotStartedError } from "../not-started-error.ts";

/** What a model is told of a tool that did not run: why, and what it can do. Nothing of an error that is not the client's. */
export function notRunText(toolName: string, cause: unknown): string {
  const begin = `${toolName} did not run`;
  if (cause instanceof DeniedError) return `${begin}: ${denied(cause)}`;
  if (cause instanceof AlreadyStartedError) {
    const { outcome } = cause.execution;
    const end = outcome === null ? "its outcome is not known" : `its outcome was "${outcome}"`;
    return `${begin} again: this call was started before, and ${end} (decision ${cause.verdict.decisionId}).`;
  }
  if (cause instanceof NotStartedError) {
    return `${begin}: it was allowed but could not be started (${cause.start.reason}, decision ${cause.verdict.decisionId}). It can be tried later.`;
  }
  return `${begin}: the call could not be judged. Do not repeat it.`;
}

function denied({ verdict }: DeniedError): string {
  const { decision, decisionId, reason, message, source } = verdict;
  if (decision === "needs_review")
    return `people have to approve it, and nobody has decided yet (decision ${decisionId}). Do not repeat it; say that it waits for an approval.`;
  if (source === "service")
    return `it is not allowed (${reason}): ${message} Do not repeat it (decision ${decisionId}).`;
  if (reason === "REQUEST_REFUSED") return `its request was refused: ${message} Do not repeat it.`;
  return `the authorization service could not be asked (${reason}, decision ${decisionId}). It can be tried later.`;
}

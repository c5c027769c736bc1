import { useMutation } from "@connectrpc/connect-query";
import { useState } from "react";
import { AdminService } from "@datacrawl/proto/datacrawl/authz/v1/admin_service_pb";
import { Outcome } from "@datacrawl/proto/datacrawl/authz/v1/execution_pb";
import type { Execution } from "@datacrawl/proto/datacrawl/authz/v1/executions_pb";
import { queries } from "../api.ts";
import { FormDialog } from "./dialog.tsx";
import { type Choices, Select, TextArea } from "./field.tsx";
import { Untrusted } from "./text.tsx";
import { ExactTime } from "./time.tsx";

const OUTCOMES = { succeeded: Outcome.SUCCEEDED, failed: Outcome.FAILED, unknown: Outcome.UNKNOWN } as const;

const CHOICES: Choices = [
  ["", "choose"],
  ["succeeded", "it succeeded: the action happened"],
  ["failed", "it failed: the action did not happen"],
  ["unknown", "unknown: nobody can find out"],
];

interface ResolveProps {
  readonly execution: Execution;
  readonly onClose: () => void;
}

/** Recording how an execution ended, for an operator who has found out. */
export function ResolveExecution({ execution, onClose }: ResolveProps) {
  const [form, setForm] = useState({ outcome: "", comment: "" });
  const resolve = useMutation(AdminService.method.resolveExecution, {
    // Also when it is refused: the agent may have reported after all.
    onSettled: () => void queries.invalidateQueries(),
    onSuccess: onClose,
  });
  const change = (part: Partial<typeof form>): void => setForm({ ...form, ...part });
  const outcome = OUTCOMES[form.outcome as keyof typeof OUTCOMES] ?? Outcome.UNSPECIFIED;
  return (
    <FormDialog
      title="How did this execution end?"
      action="Resolve it"
      busy={resolve.isPending}
      error={resolve.error}
      onSubmit={() => resolve.mutate({ decisionId: execution.decisionId, outcome, comment: form.comment })}
      onClose={onClose}
    >
      <p className="field">
        {execution.agentId} started <Untrusted text={execution.tool} limit={120} /> at{" "}
        <ExactTime at={execution.startedAt} /> and did not report how it ended. Look where the tool acts, then record
        what you found. It is recorded once, under your name, and cannot be changed.
      </p>
      <Select
        label="Outcome"
        required
        choices={CHOICES}
        value={form.outcome}
        onChange={(chosen) => change({ outcome: chosen })}
      />
      <TextArea
        label="Comment"
        hint="How you know. Kept in the audit trail."
        required
        maxLength={500}
        value={form.comment}
        onChange={(comment) => change({ comment })}
      />
    </FormDialog>
  );
}

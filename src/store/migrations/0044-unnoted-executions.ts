/** Unresolved executions of which no event says so yet. */
export const unnotedExecutions = `
-- Replicas look for them every few seconds. Those that have their event stay until somebody resolves them, and are not in the index.
CREATE INDEX execution_reports_due_unnoted ON execution_reports_due (report_due_at, decision_id) WHERE noted_at IS NULL;
`;

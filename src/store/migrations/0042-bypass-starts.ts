/** Starts under a bypass, which guards upload. */
export const bypassStarts = `
-- Who started it: the service, or a guard under a bypass.
ALTER TABLE executions ADD COLUMN source text NOT NULL DEFAULT 'service' CHECK (source IN ('service', 'guard'));
-- A key that a guard has started is not started again under another decision. Starts of the service are not in the index.
CREATE INDEX executions_bypassed ON executions (agent_id, idempotency_key, recorded_at) WHERE source = 'guard';
`;

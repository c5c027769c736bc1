/** An agent has at most two keys in use, so that one can replace the other without a gap. */
export const agentIdentity = `
-- Counting first would let two callers both find one key: that each place is taken once holds without looking.
ALTER TABLE agent_keys ADD COLUMN place smallint NOT NULL DEFAULT 1 CHECK (place IN (1, 2));
CREATE UNIQUE INDEX agent_keys_in_use ON agent_keys (agent_id, place) WHERE revoked_at IS NULL;
`;

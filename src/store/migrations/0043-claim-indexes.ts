/** Lists of one session's decisions, and of one principal's. */
export const claimIndexes = `
-- Rows without them are not in the index.
CREATE INDEX audit_decisions_by_session ON audit_decisions (session_id, recorded_at) WHERE session_id IS NOT NULL;
CREATE INDEX audit_decisions_by_principal ON audit_decisions (principal, recorded_at) WHERE principal IS NOT NULL;
`;

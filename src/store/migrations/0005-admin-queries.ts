/** What operators' questions need: see docs/operations.md for what each index costs. */
export const adminQueries = `
-- Lists of decisions go through time, newest first. The trail grows at this index's end.
CREATE INDEX audit_decisions_by_time ON audit_decisions (recorded_at);
-- Few rows have these, and the others are not in the index.
CREATE INDEX audit_decisions_by_link ON audit_decisions (linked_decision_id) WHERE linked_decision_id IS NOT NULL;
CREATE INDEX audit_decisions_by_grant ON audit_decisions (grant_id, recorded_at) WHERE grant_id IS NOT NULL;
`;

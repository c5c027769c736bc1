/** What an attacker with the database alone could have feigned: an acknowledged rollback, and an erased payload. */
export const signedAcknowledgements = `
-- A note that the audit key has signed: which published checkpoints are lost. Null for the first epoch.
ALTER TABLE audit_epochs ADD COLUMN acknowledgement text;

-- Verification looks for the event of each payload that is gone.
CREATE INDEX audit_events_of_erasures ON audit_events (decision_id) WHERE kind = 'payload.erased';
`;

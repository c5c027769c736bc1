/** On whose behalf agents act, and the run that a call belongs to: columns of the trail's layout version 2. */
export const principals = `
ALTER TABLE audit_decisions ADD COLUMN principal text, ADD COLUMN session_id text;
`;

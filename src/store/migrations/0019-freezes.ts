/** Who froze an agent is looked up for each frozen one that is listed, among all calls of operators; ids of agents collate so. */
export const freezes = `
CREATE INDEX audit_events_of_freezes ON audit_events (subject COLLATE "C", recorded_at) WHERE kind = 'agent.frozen';
`;

/** One verification run at a time, whoever begins it. */
export const oneRun = `
-- Of runs that began at the same moment the newest stays; the others' part of the trail is read by the next.
DELETE FROM audit_runs WHERE state = 'running'
  AND run_id <> (SELECT run_id FROM audit_runs WHERE state = 'running' ORDER BY started_at DESC, run_id DESC LIMIT 1);
CREATE UNIQUE INDEX audit_runs_one_running ON audit_runs (state) WHERE state = 'running';
`;

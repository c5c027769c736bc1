/** Starts of allowed decisions, and how they ended. */
export const executions = `
-- One decision, one execution: who inserts here first runs the tool. Rows are added and read, and never changed.
CREATE TABLE executions (
  decision_id     uuid PRIMARY KEY,
  -- UUIDv7, so that the newest come last. It is also the id of the event that records the start.
  execution_id    uuid NOT NULL UNIQUE,
  -- Of the decision's row.
  recorded_at     timestamptz NOT NULL,
  agent_id        text COLLATE "C" NOT NULL,
  tool            text COLLATE "C" NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL,
  nonce           bytea NOT NULL,
  started_at      timestamptz NOT NULL,
  started_by      text NOT NULL,
  report_due_at   timestamptz NOT NULL
);
CREATE INDEX executions_by_agent ON executions (agent_id, execution_id);

-- How an execution ended: who inserts here first is believed. Rows are added and read, and never changed.
CREATE TABLE execution_outcomes (
  decision_id uuid PRIMARY KEY,
  -- Of the event that records it.
  event_id    uuid NOT NULL,
  outcome     text NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'unknown')),
  ended_at    timestamptz NOT NULL,
  error_code  text,
  duration_ms bigint,
  summary     text,
  -- The agent's credential, or the operator who resolved the execution by hand.
  reported_by text,
  resolved_by text,
  comment     text,
  CHECK ((reported_by IS NULL) <> (resolved_by IS NULL))
);

-- Executions that have no outcome yet. They are few, so that those which are overdue are found without a search among all.
CREATE TABLE execution_reports_due (
  decision_id   uuid PRIMARY KEY,
  report_due_at timestamptz NOT NULL,
  -- When an event recorded that it is overdue; null before that.
  noted_at      timestamptz
);
CREATE INDEX execution_reports_due_by_time ON execution_reports_due (report_due_at, decision_id);

CREATE TRIGGER note_execution AFTER INSERT ON audit_events FOR EACH ROW
WHEN (NEW.kind = 'execution.unresolved')
EXECUTE FUNCTION datacrawl_note_event();
`;

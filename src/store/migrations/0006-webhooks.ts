/** What is to be told to a webhook, noted by the same statement that records it. */
export const webhooks = `
-- A message is a row of the trail that has not been told yet; what it says is read from that row when it is sent.
CREATE TABLE webhook_messages (
  -- Roughly in the order in which things happened: a number is taken before its transaction commits.
  sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  type        text NOT NULL,
  -- What the message is about. Messages about the same are told in their order, as far as that holds nothing up for long.
  subject     text NOT NULL,
  source      text NOT NULL CHECK (source IN ('event', 'decision')),
  source_id   uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead')),
  attempts    int NOT NULL DEFAULT 0,
  -- When it may be tried (again). Whoever tries it moves this ahead first, so that nobody else does meanwhile.
  due_at      timestamptz NOT NULL DEFAULT now(),
  problem     text
);
CREATE INDEX webhook_messages_due ON webhook_messages (due_at) WHERE state = 'pending';
CREATE INDEX webhook_messages_by_subject ON webhook_messages (subject, sequence) WHERE state = 'pending';

-- Triggers, so that nothing is recorded and not told, whoever records it, and the trail waits for nobody.
CREATE FUNCTION datacrawl_note_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_messages (type, subject, source, source_id, recorded_at)
  VALUES (NEW.kind, coalesce(NEW.subject, NEW.kind), 'event', NEW.event_id, NEW.recorded_at);
  RETURN NULL;
END $$;
CREATE TRIGGER note_event AFTER INSERT ON audit_events FOR EACH ROW
WHEN (NEW.kind IN ('agent.frozen', 'agent.unfrozen', 'agent.revoked', 'bypass.set', 'bypass.cleared',
  'circuit.forced_open', 'circuit.reset', 'audit.verification_failed', 'audit.rollback_detected',
  'audit.rollback_acknowledged', 'audit.key_rotated'))
EXECUTE FUNCTION datacrawl_note_event();

CREATE FUNCTION datacrawl_note_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_messages (type, subject, source, source_id, recorded_at)
  VALUES (CASE NEW.reason WHEN 'REVIEW_PENDING' THEN 'review.opened' ELSE 'review.resolved' END,
    NEW.review_id::text, 'decision', NEW.decision_id, NEW.recorded_at);
  RETURN NULL;
END $$;
-- Most decisions need no review, and then this costs one comparison.
CREATE TRIGGER note_review AFTER INSERT ON audit_decisions FOR EACH ROW
WHEN (NEW.review_id IS NOT NULL AND NEW.reason IN ('REVIEW_PENDING', 'REVIEW_APPROVED', 'REVIEW_REJECTED', 'REVIEW_EXPIRED'))
EXECUTE FUNCTION datacrawl_note_review();
`;

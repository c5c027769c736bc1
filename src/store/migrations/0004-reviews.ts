/** Decisions that wait for people. */
export const reviews = `
CREATE TABLE reviews (
  -- UUIDv7, so that the newest come last.
  review_id           uuid PRIMARY KEY,
  -- The decision that opened it, and when that was recorded.
  decision_id         uuid NOT NULL UNIQUE,
  recorded_at         timestamptz NOT NULL,
  agent_id            text COLLATE "C" NOT NULL,
  tool                text COLLATE "C" NOT NULL,
  idempotency_key     text COLLATE "C" NOT NULL,
  rule_id             text,
  policy_version      text NOT NULL,
  request_digest      bytea NOT NULL,
  payload_digest      bytea NOT NULL,
  approvers           int NOT NULL CHECK (approvers >= 1),
  approval_for        interval NOT NULL,
  opened_at           timestamptz NOT NULL,
  expires_at          timestamptz NOT NULL,
  state               text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected', 'expired', 'lapsed', 'void')),
  -- A change is made to the version that it was decided on, or not at all.
  version             int NOT NULL DEFAULT 0,
  resolved_at         timestamptz,
  -- The newest row of the trail that resolved it.
  resolution_id       uuid,
  approval_expires_at timestamptz
);
CREATE INDEX reviews_open_by_expiry ON reviews (expires_at) WHERE state = 'open';
CREATE INDEX reviews_by_state ON reviews (state, review_id);
CREATE INDEX reviews_by_agent ON reviews (agent_id, review_id);

CREATE TABLE review_answers (
  review_id   uuid NOT NULL REFERENCES reviews,
  operator    text NOT NULL,
  answer      text NOT NULL CHECK (answer IN ('approved', 'rejected')),
  comment     text NOT NULL,
  answered_at timestamptz NOT NULL,
  -- Each person counts once.
  PRIMARY KEY (review_id, operator)
);
`;

/** What guards report, and the orders that they follow. */
export const guards = `
-- Which uploaded records are in the trail, so that each is there once; a guard may send one again years later.
CREATE TABLE guard_records (
  agent_id    text COLLATE "C" NOT NULL,
  record_hash bytea NOT NULL,
  journal_id  uuid NOT NULL,
  sequence    bigint NOT NULL,
  decision_id uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (agent_id, record_hash)
);
CREATE INDEX guard_records_by_sequence ON guard_records (agent_id, journal_id, sequence);

-- Circuit-bypass orders. A guard follows the one with its agent's highest epoch: a grant, or a revocation of all before it.
CREATE TABLE circuit_orders (
  agent_id   text COLLATE "C" NOT NULL REFERENCES agents,
  epoch      bigint NOT NULL,
  -- Null for a revocation.
  grant_id   uuid UNIQUE,
  -- The grant's tools as JSON; null means every tool, and nothing for a revocation.
  tools      text,
  operator   text NOT NULL,
  reason     text NOT NULL,
  issued_at  timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  -- The signed order, as guards get it.
  token      text NOT NULL,
  PRIMARY KEY (agent_id, epoch)
);

-- The circuits as they were last reported, for operators to look at.
CREATE TABLE guard_circuits (
  agent_id    text COLLATE "C" NOT NULL,
  journal_id  uuid NOT NULL,
  report      text NOT NULL,
  reported_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (agent_id, journal_id)
);
`;

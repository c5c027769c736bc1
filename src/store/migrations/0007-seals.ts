/** Seals over the trail: a Merkle tree of all its rows, and signed checkpoints of that tree. docs/audit.md tells how they work. */
export const seals = `
-- When the database took the row, by its own clock; not part of the row's hash. By it the sealer finds the rows that have no
-- seal yet, without reading those that have one. (Old rows get a constant, which rewrites no table.)
ALTER TABLE audit_decisions ADD COLUMN inserted_at timestamptz NOT NULL DEFAULT '2000-01-01 00:00:00+00';
ALTER TABLE audit_decisions ALTER COLUMN inserted_at SET DEFAULT clock_timestamp();
CREATE INDEX audit_decisions_by_insertion ON audit_decisions (inserted_at);
ALTER TABLE audit_events ADD COLUMN inserted_at timestamptz NOT NULL DEFAULT '2000-01-01 00:00:00+00';
ALTER TABLE audit_events ALTER COLUMN inserted_at SET DEFAULT clock_timestamp();
CREATE INDEX audit_events_by_insertion ON audit_events (inserted_at);

-- Which log this database holds: checkpoints name it, so that none passes for another's.
CREATE TABLE audit_log (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  log_id    text NOT NULL
);
INSERT INTO audit_log (log_id) VALUES (replace(gen_random_uuid()::text, '-', ''));

-- The trees, one after another. A new one begins where an operator has acknowledged that the database was rolled back.
CREATE TABLE audit_epochs (
  epoch       int PRIMARY KEY,
  opened_at   timestamptz NOT NULL DEFAULT now(),
  opened_by   text NOT NULL,
  reason      text NOT NULL,
  -- The checkpoint outside the database that this database does not continue, as it was found; null for the first epoch.
  lost_note   text
);
INSERT INTO audit_epochs (epoch, opened_by, reason) VALUES (1, 'service', 'the first');

-- A leaf for each row of the trail: stream 1 is audit_decisions, 2 is audit_events. Within an epoch seq counts from 0.
CREATE TABLE audit_seals (
  row_id      uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  stream      smallint NOT NULL,
  epoch       int NOT NULL,
  seq         bigint NOT NULL,
  leaf_hash   bytea NOT NULL,
  PRIMARY KEY (row_id, recorded_at, stream)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX audit_seals_by_seq ON audit_seals (epoch, seq);

-- The hashes of full subtrees, of every fourth level (4, 8, 12, …): those between are made from at most eight of these.
CREATE TABLE audit_nodes (
  epoch int NOT NULL,
  level smallint NOT NULL,
  idx   bigint NOT NULL,
  hash  bytea NOT NULL,
  PRIMARY KEY (epoch, level, idx)
);

CREATE TABLE audit_checkpoints (
  epoch         int NOT NULL,
  size          bigint NOT NULL CHECK (size > previous_size),
  -- That of the checkpoint before it. INVARIANT: no two continue the same one, so of two sealers at once one fails whole.
  previous_size bigint NOT NULL,
  root          bytea NOT NULL,
  -- The hashes that make up the tree's right edge, 32 bytes each: what is needed to append to it.
  peaks         bytea NOT NULL,
  signed_note   text NOT NULL,
  key_id        text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Every row that the database took before this has a seal, unless its transaction never commits.
  settled_at    timestamptz NOT NULL,
  PRIMARY KEY (epoch, size),
  UNIQUE (epoch, previous_size)
);

-- Verification runs, and how far each has come: a run that is killed goes on from there. What a run found is also an event.
CREATE TABLE audit_runs (
  run_id      uuid PRIMARY KEY,
  scope       text NOT NULL,
  started_by  text NOT NULL,
  started_at  timestamptz NOT NULL,
  updated_at  timestamptz NOT NULL,
  finished_at timestamptz,
  state       text NOT NULL,
  progress    text NOT NULL
);
CREATE INDEX audit_runs_by_start ON audit_runs (started_at);

CREATE FUNCTION datacrawl_make_append_only(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION datacrawl_refuse_change()', guarded);
  EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change()', guarded);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_change', guarded);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_truncate', guarded);
END $$;
SELECT datacrawl_make_append_only(guarded)
FROM unnest(ARRAY['audit_log', 'audit_epochs', 'audit_nodes', 'audit_checkpoints']::regclass[]) AS guarded;
-- Its partitions have both triggers; a row trigger here would be cloned to them, where one is already.
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_seals FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change();
ALTER TABLE audit_seals ENABLE ALWAYS TRIGGER refuse_truncate;

-- A row and its seal are in partitions of the same month.
SELECT datacrawl_make_partition('audit_seals', to_date(right(inhrelid::regclass::text, 7), 'YYYY"m"MM'), true)
FROM pg_inherits WHERE inhparent = 'audit_decisions'::regclass;

CREATE OR REPLACE FUNCTION datacrawl_make_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
BEGIN
  FOR ahead IN -1..3 LOOP
    PERFORM datacrawl_make_partition('audit_decisions', (this_month + ahead * interval '1 month')::date, true);
    PERFORM datacrawl_make_partition('audit_events', (this_month + ahead * interval '1 month')::date, true);
    PERFORM datacrawl_make_partition('audit_payloads', (this_month + ahead * interval '1 month')::date, false);
    PERFORM datacrawl_make_partition('audit_seals', (this_month + ahead * interval '1 month')::date, true);
  END LOOP;
END $$;
`;

/** The first layout: agents, claims, and the append-only trail. The trail's columns are docs/audit-format.md. */
export const foundation = `
CREATE TABLE agents (
  agent_id   text COLLATE "C" PRIMARY KEY,
  state      text NOT NULL CHECK (state IN ('active', 'frozen', 'revoked')),
  created_at timestamptz NOT NULL DEFAULT now(),
  changed    bigint NOT NULL
);
CREATE TABLE agent_keys (
  key_id      text COLLATE "C" PRIMARY KEY,
  agent_id    text COLLATE "C" NOT NULL REFERENCES agents,
  secret_hash bytea NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  revoked_at  timestamptz,
  changed     bigint NOT NULL
);
CREATE INDEX agent_keys_by_agent ON agent_keys (agent_id);
CREATE INDEX agents_by_change ON agents (changed);
CREATE INDEX agent_keys_by_change ON agent_keys (changed);
-- Whoever changes an agent increments this one row in the same transaction, so that changes commit in the order of their
-- numbers and a reader who asks "what changed since N" misses none.
CREATE TABLE directory_version (singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), version bigint NOT NULL);
INSERT INTO directory_version (version) VALUES (0);

-- Fingerprints of the keys that all replicas must share; the keys themselves are never here.
CREATE TABLE service_keys (
  name          text PRIMARY KEY,
  fingerprint   text NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT now()
);

-- One key, one decision: who inserts here first decides. A variant is empty for the key's first request, and the request's
-- digest for each other request that reused the key.
CREATE TABLE idempotency_claims (
  agent_id        text COLLATE "C" NOT NULL,
  idempotency_key text COLLATE "C" NOT NULL,
  variant         bytea NOT NULL,
  request_digest  bytea NOT NULL,
  decision_id     uuid NOT NULL,
  recorded_at     timestamptz NOT NULL,
  expires_at      timestamptz NOT NULL,
  PRIMARY KEY (agent_id, idempotency_key, variant)
);
-- Claims are made in the order in which they expire, so block ranges are all that the purge needs.
CREATE INDEX idempotency_claims_by_expiry ON idempotency_claims USING brin (expires_at) WITH (pages_per_range = 16);

CREATE TABLE audit_decisions (
  decision_id        uuid NOT NULL,
  recorded_at        timestamptz NOT NULL,
  source             text NOT NULL,
  agent_id           text COLLATE "C" NOT NULL,
  credential_id      text,
  tool               text COLLATE "C" NOT NULL,
  idempotency_key    text COLLATE "C" NOT NULL,
  decision           text NOT NULL,
  reason             text NOT NULL,
  message            text NOT NULL,
  rule_id            text,
  policy_version     text,
  request_digest     bytea,
  payload_digest     bytea,
  decided_at         timestamptz NOT NULL,
  linked_decision_id uuid,
  review_id          uuid,
  grant_id           uuid,
  guard_journal_id   uuid,
  guard_sequence     bigint,
  guard_record_hash  bytea,
  trace_id           text,
  detail             text,
  hash               bytea NOT NULL,
  PRIMARY KEY (decision_id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE TABLE audit_payloads (
  decision_id uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  salt        bytea NOT NULL,
  canonical   text NOT NULL,
  PRIMARY KEY (decision_id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE TABLE audit_events (
  event_id    uuid NOT NULL,
  recorded_at timestamptz NOT NULL,
  kind        text NOT NULL,
  actor       text NOT NULL,
  subject     text,
  decision_id uuid,
  detail      text NOT NULL,
  hash        bytea NOT NULL,
  PRIMARY KEY (event_id, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE FUNCTION datacrawl_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

-- Makes the partition of one month, if it is not there, as a table that is attached when it is whole: CREATE … PARTITION OF
-- would queue behind every reader of the parent, and every insert behind it.
CREATE FUNCTION datacrawl_make_partition(parent text, month date, append_only boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  partition text := format('%s_y%sm%s', parent, to_char(month, 'YYYY'), to_char(month, 'MM'));
  -- Months are of UTC, whatever the session's time zone.
  lower_bound timestamptz := month::timestamp AT TIME ZONE 'UTC';
  upper_bound timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
  IF to_regclass(partition) IS NOT NULL THEN RETURN; END IF;
  PERFORM set_config('lock_timeout', '5s', true);
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, parent);
  IF append_only THEN
    -- Not cloned from the parent: TRUNCATE triggers never are. ALWAYS, so that session_replication_role does not mute them.
    EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION datacrawl_refuse_change()', partition);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change()', partition);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_change', partition);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER refuse_truncate', partition);
  END IF;
  EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition, lower_bound, upper_bound);
END $$;

-- Last month (a clock may lag at a month's border), this month, and the next three, by Postgres' own time.
CREATE FUNCTION datacrawl_make_partitions() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
BEGIN
  FOR ahead IN -1..3 LOOP
    PERFORM datacrawl_make_partition('audit_decisions', (this_month + ahead * interval '1 month')::date, true);
    PERFORM datacrawl_make_partition('audit_events', (this_month + ahead * interval '1 month')::date, true);
    PERFORM datacrawl_make_partition('audit_payloads', (this_month + ahead * interval '1 month')::date, false);
  END LOOP;
END $$;

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_decisions FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change();
ALTER TABLE audit_decisions ENABLE ALWAYS TRIGGER refuse_truncate;
ALTER TABLE audit_events ENABLE ALWAYS TRIGGER refuse_truncate;
`;

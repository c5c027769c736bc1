/** What leaves the trail: payloads that are erased, and months that are retired. docs/retention.md tells how. */
export const retention = `
-- Erases what was kept of a payload, together with the event that tells of it. The service's login may do this and has no
-- other way to delete from the trail.
CREATE FUNCTION datacrawl_erase_payload(
  erased uuid, event_id uuid, recorded_at timestamptz, kind text, actor text, subject text, decision_id uuid, detail text, hash bytea
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM audit_payloads p WHERE p.decision_id = erased;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO audit_events (event_id, recorded_at, kind, actor, subject, decision_id, detail, hash)
  VALUES (event_id, recorded_at, kind, actor, subject, decision_id, detail, hash);
  RETURN true;
END $$;
REVOKE ALL ON FUNCTION datacrawl_erase_payload FROM PUBLIC;

-- The months whose partitions are, or are about to be, detached. Their seals stay, so whoever verifies the trail finds seals
-- without rows; this tells that it is meant. The event of the same id says so under a seal.
CREATE TABLE audit_retired (
  month           date PRIMARY KEY,
  decisions       bigint NOT NULL,
  events          bigint NOT NULL,
  -- SHA-256 of the export, as the event says that tells of it.
  export_sha256   text NOT NULL,
  export_event_id uuid NOT NULL,
  event_id        uuid NOT NULL,
  recorded_at     timestamptz NOT NULL,
  event_hash      bytea NOT NULL
);
SELECT datacrawl_make_append_only('audit_retired');
`;

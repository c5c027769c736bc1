/** Every version of the policies that a service has used, so that old decisions can be explained. */
export const policyBundles = `
CREATE TABLE policy_bundles (
  version    text COLLATE "C" PRIMARY KEY,
  -- A JSON list of {name, text}, as they were when the version was first used.
  files      text NOT NULL,
  first_seen timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX policy_bundles_by_time ON policy_bundles (first_seen);
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON policy_bundles FOR EACH ROW EXECUTE FUNCTION datacrawl_refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON policy_bundles FOR EACH STATEMENT EXECUTE FUNCTION datacrawl_refuse_change();
ALTER TABLE policy_bundles ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE policy_bundles ENABLE ALWAYS TRIGGER refuse_truncate;
`;

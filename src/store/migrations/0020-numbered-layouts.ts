/**
 * Versions that number their layouts in `schema_migrations` (0001 to 0019) find a newer one there, and refuse to start on this database
 * or to migrate it.
 */
export const numberedLayouts = `
CREATE TABLE IF NOT EXISTS schema_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
INSERT INTO schema_migrations (id, name) VALUES (20, 'numbered-layouts');
`;

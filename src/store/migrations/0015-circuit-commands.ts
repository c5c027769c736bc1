/** What operators order about agents' circuits. */
export const circuitCommands = `
-- Guards follow the order with their agent's highest epoch.
CREATE TABLE circuit_commands (
  agent_id   text COLLATE "C" NOT NULL REFERENCES agents,
  epoch      bigint NOT NULL,
  kind       text NOT NULL CHECK (kind IN ('force_open', 'reset')),
  operator   text NOT NULL,
  reason     text NOT NULL,
  issued_at  timestamptz NOT NULL,
  -- Null if it lasts until the next order.
  expires_at timestamptz,
  PRIMARY KEY (agent_id, epoch)
);
`;

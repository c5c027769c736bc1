/** Operators with local accounts, and their sessions. */
export const operators = `
CREATE TABLE operators (
  name           text COLLATE "C" PRIMARY KEY,
  role           text NOT NULL CHECK (role IN ('viewer', 'reviewer', 'operator')),
  -- Algorithm, parameters, salt and hash in one.
  password_hash  text NOT NULL,
  -- Sealed under a key that is not in the database; null where signing in needs no one-time code.
  totp_secret    bytea,
  -- The time step of the last code that was used: each works once.
  totp_last_step bigint,
  -- Grows when the password or the codes change. A session of an older generation has ended: deleting sessions instead could
  -- miss one that is being made at that moment.
  generation     bigint NOT NULL DEFAULT 1,
  created_at     timestamptz NOT NULL DEFAULT now(),
  -- A removed account stays: its name is never given to somebody else.
  removed_at     timestamptz
);
CREATE TABLE operator_sessions (
  -- SHA-256 of the cookie's token.
  token_hash   bytea PRIMARY KEY,
  name         text COLLATE "C" NOT NULL REFERENCES operators,
  generation   bigint NOT NULL,
  -- How the sign-in was proven (RFC 8176), as JSON.
  methods      text NOT NULL,
  signed_in_at timestamptz NOT NULL DEFAULT now(),
  used_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operator_sessions_by_age ON operator_sessions (signed_in_at);
`;

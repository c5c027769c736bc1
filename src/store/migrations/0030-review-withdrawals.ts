/**
 * An approval can be withdrawn, and when it was first used is known. Nobody knows it of earlier approvals, which count as used from
 * their beginning.
 */
export const reviewWithdrawals = `
ALTER TABLE reviews DROP CONSTRAINT reviews_state_check;
ALTER TABLE reviews ADD CONSTRAINT reviews_state_check
  CHECK (state IN ('open', 'approved', 'rejected', 'expired', 'lapsed', 'void', 'withdrawn'));

-- When its key was first answered allow.
ALTER TABLE reviews ADD COLUMN first_allowed_at timestamptz;
UPDATE reviews SET first_allowed_at = resolved_at WHERE state = 'approved';

CREATE TABLE review_withdrawals (
  review_id    uuid PRIMARY KEY,
  operator     text NOT NULL,
  comment      text NOT NULL,
  withdrawn_at timestamptz NOT NULL,
  -- Who withdraws has answered.
  FOREIGN KEY (review_id, operator) REFERENCES review_answers
);
`;

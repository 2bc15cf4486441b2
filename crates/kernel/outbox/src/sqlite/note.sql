-- What became of an attempt, unless a later one was taken: then that one says it, except that what is
-- delivered is delivered.
UPDATE tally_outbox
SET due_at = ?3, done_at = CASE WHEN ?3 IS NULL THEN ?4 END, is_delivered = ?5, answer = ?6
WHERE id = ?1 AND due_at IS NOT NULL AND (attempts = ?2 OR ?5)

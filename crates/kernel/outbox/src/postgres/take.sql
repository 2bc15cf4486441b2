-- Takes an attempt before it is made, and sets the time of the next one: whatever becomes of this server,
-- and of the note about the attempt, the event is not sent again before that. Compared and swapped by the
-- number of attempts, because other servers see the same events.
UPDATE tally_outbox SET attempts = attempts + 1, due_at = $3::TIMESTAMPTZ, answer = ''
WHERE id = $1::UUID AND attempts = $2::INT8 AND due_at IS NOT NULL
RETURNING id

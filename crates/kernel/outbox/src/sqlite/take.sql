-- Takes an attempt before it is made, and sets the time of the next one: whatever becomes of this server,
-- and of the note about the attempt, the event is not sent again before that.
UPDATE tally_outbox SET attempts = attempts + 1, due_at = ?3, answer = ''
WHERE id = ?1 AND attempts = ?2 AND due_at IS NOT NULL

-- What became of an attempt, unless a later one was taken: then that one says it, except that what is
-- delivered is delivered.
UPDATE tally_outbox
SET due_at = $3::TIMESTAMPTZ,
    done_at = CASE WHEN $3::TIMESTAMPTZ IS NULL THEN $4::TIMESTAMPTZ END,
    is_delivered = $5::BOOL,
    answer = $6::TEXT
WHERE id = $1::UUID AND due_at IS NOT NULL AND (attempts = $2::INT8 OR $5::BOOL)
RETURNING id

-- The latest first, by the index on the number.
SELECT id, number, receiver, body, created_at, due_at, done_at, is_delivered, attempts, answer
FROM tally_outbox
WHERE domain = $1::TEXT AND subject = $2::UUID AND number < $3::INT8
ORDER BY number DESC
LIMIT $4::INT8

-- The latest payments of a debt before a number, the last first.
SELECT
    number, kind, run, stage, exit_status, received_at, said_at, took, slot_at, flags, key_name, source, body,
    body_bytes
FROM tally_debt_payments
WHERE debt_id = $1 AND number < $2
ORDER BY number DESC
LIMIT $3

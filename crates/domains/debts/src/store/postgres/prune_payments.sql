-- Deletes payments that are old.
DELETE FROM tally_debt_payments
WHERE (debt_id, number) IN (
    SELECT debt_id, number FROM tally_debt_payments WHERE received_at < $1 LIMIT $2
)
RETURNING number

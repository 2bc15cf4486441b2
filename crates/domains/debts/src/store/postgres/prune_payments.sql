-- Deletes payments that are old, the oldest first, and those of the same microsecond: found by their time alone.
-- By their debts and numbers, the planner may read all payments of a debt for each of them.
DELETE FROM tally_debt_payments
WHERE received_at <= (
    SELECT max(o.received_at) FROM (
        SELECT received_at FROM tally_debt_payments WHERE received_at < $1 ORDER BY received_at LIMIT $2
    ) AS o
)
RETURNING number

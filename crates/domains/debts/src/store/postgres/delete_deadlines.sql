-- Deadlines that debts had, by their whole keys.
DELETE FROM tally_debt_deadlines AS d
USING unnest($1::TIMESTAMPTZ[], $2::UUID[]) AS u (overdue_at, debt_id)
WHERE d.overdue_at = u.overdue_at AND d.debt_id = u.debt_id

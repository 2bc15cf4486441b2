-- Deadlines that debts have from now on.
INSERT INTO tally_debt_deadlines (overdue_at, debt_id)
SELECT * FROM unnest($1::TIMESTAMPTZ[], $2::UUID[])

-- Deadlines that debts have from now on.
INSERT INTO tally_debt_deadlines (overdue_at, debt_id, namespace_id, late_at)
SELECT * FROM unnest($1::TIMESTAMPTZ[], $2::UUID[], $3::BIGINT[], $4::TIMESTAMPTZ[])
ON CONFLICT (overdue_at, debt_id) DO UPDATE SET late_at = excluded.late_at

-- The deadline that a debt has from now on.
INSERT INTO tally_debt_deadlines (overdue_at, debt_id, namespace_id, late_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (overdue_at, debt_id) DO UPDATE SET late_at = excluded.late_at

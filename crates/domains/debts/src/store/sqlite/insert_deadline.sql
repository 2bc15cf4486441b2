-- The deadline that a debt has from now on.
INSERT INTO tally_debt_deadlines (overdue_at, debt_id) VALUES (?1, ?2)

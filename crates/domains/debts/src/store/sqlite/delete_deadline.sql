-- The deadline that a debt had.
DELETE FROM tally_debt_deadlines WHERE overdue_at = ?1 AND debt_id = ?2

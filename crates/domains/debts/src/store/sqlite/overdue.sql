-- What is overdue, after a moment and an id.
SELECT overdue_at, debt_id
FROM tally_debt_deadlines
WHERE overdue_at <= ?1 AND (overdue_at, debt_id) > (?2, ?3)
ORDER BY overdue_at, debt_id
LIMIT ?4

-- What is overdue, after a moment and an id.
SELECT overdue_at, id
FROM tally_debts
WHERE overdue_at <= ?1 AND (overdue_at, id) > (?2, ?3)
ORDER BY overdue_at, id
LIMIT ?4

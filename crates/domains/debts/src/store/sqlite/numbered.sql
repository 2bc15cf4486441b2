-- Debts of a namespace after a number, in the order in which they were made.
SELECT number, created_at, paid_at, payments
FROM tally_debts
WHERE namespace_id = ?1 AND number > ?2
ORDER BY number
LIMIT ?3

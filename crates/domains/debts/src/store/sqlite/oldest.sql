-- The oldest debts of each namespace in turn, without what is agreed of them: one that nobody can read is told as well.
SELECT namespace_id, slug, status, since, paid_at, created_at, payments
FROM tally_debts
ORDER BY namespace_id, number
LIMIT ?1

-- Debts of a namespace that are late: what is due has not come, and is not overdue yet.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE namespace_id = $1 AND status <= 1 AND due_at <= $2
ORDER BY slug
LIMIT $3

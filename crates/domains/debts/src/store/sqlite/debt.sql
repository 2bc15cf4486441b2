-- A debt.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE id = ?1

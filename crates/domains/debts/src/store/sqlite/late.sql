-- Debts of a namespace that are late: what is due has not come, and is not overdue yet. Of many, those that have
-- been so for the longest.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM (
    SELECT w.debt_id
    FROM tally_debt_deadlines AS w
    WHERE w.namespace_id = ?1 AND w.late_at <= ?2
    ORDER BY w.late_at
    LIMIT ?3
) AS l
CROSS JOIN tally_debts AS d ON d.id = l.debt_id
ORDER BY d.slug

-- Debts of a namespace that are late: what is due has not come, and is not overdue yet. Of many, those that have
-- been so for the longest. Each is asked for by itself: the planner does not know how few they are, and may read
-- all debts.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM (
    SELECT w.debt_id
    FROM tally_debt_deadlines AS w
    WHERE w.namespace_id = $1 AND w.late_at <= $2
    ORDER BY w.late_at
    LIMIT $3
) AS l
CROSS JOIN LATERAL (SELECT o.* FROM tally_debts AS o WHERE o.id = l.debt_id LIMIT 1) AS d
ORDER BY d.slug

-- Debts of a namespace that are late, by their slugs, after one of them. They are found by their deadlines.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM tally_debt_deadlines AS w
CROSS JOIN tally_debts AS d ON d.id = w.debt_id
WHERE w.namespace_id = ?1 AND w.late_at <= ?4
  AND (?2 = '' OR instr(d.slug, ?2) > 0 OR instr(lower(d.definition ->> 'name'), ?2) > 0)
  AND NOT EXISTS (
      SELECT value FROM json_each(?3)
      EXCEPT
      SELECT value FROM json_each(coalesce(d.definition -> 'tags', '[]'))
  )
  AND d.slug > ?5
ORDER BY d.slug
LIMIT ?6

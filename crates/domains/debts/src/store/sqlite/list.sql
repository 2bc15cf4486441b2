-- Debts of a namespace: the overdue ones first, then the late ones, each by their slugs; without
-- a moment, by their slugs alone. Tags are whole: they are in the definition
-- as JSON has them.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE namespace_id = ?1
  AND (?2 = '[]' OR status IN (SELECT value FROM json_each(?2)))
  AND (?3 = '' OR instr(slug, ?3) > 0 OR instr(lower(definition ->> 'name'), ?3) > 0)
  AND NOT EXISTS (
      SELECT value FROM json_each(?4)
      EXCEPT
      SELECT value FROM json_each(coalesce(definition -> 'tags', '[]'))
  )
  AND (CASE WHEN ?5 IS NULL THEN 2 WHEN status = 2 THEN 0 WHEN status <= 1 AND due_at <= ?5 THEN 1 ELSE 2 END, slug) > (?6, ?7)
ORDER BY CASE WHEN ?5 IS NULL THEN 2 WHEN status = 2 THEN 0 WHEN status <= 1 AND due_at <= ?5 THEN 1 ELSE 2 END, slug
LIMIT ?8

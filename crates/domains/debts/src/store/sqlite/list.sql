-- Debts of a namespace and a status by their slugs, after one of them: in the order of an index. With a moment, those
-- that are not late then. Tags are whole: they are in the definition as JSON has them.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE namespace_id = ?1 AND status = ?2
  AND (?3 = '' OR instr(slug, ?3) > 0 OR instr(lower(definition ->> 'name'), ?3) > 0)
  AND NOT EXISTS (
      SELECT value FROM json_each(?4)
      EXCEPT
      SELECT value FROM json_each(coalesce(definition -> 'tags', '[]'))
  )
  AND (?5 IS NULL OR status >= 2 OR due_at IS NULL OR due_at > ?5 OR overdue_at IS NULL)
  AND slug > ?6
ORDER BY slug
LIMIT ?7

-- Debts of a namespace and a status by their slugs, after one of them: in the order of an index. Of those that are
-- late at this moment, and of the others, those that are asked for. Tags are whole: they are in the definition as JSON
-- has them.
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
  AND CASE WHEN status < 2 AND due_at <= ?5 AND overdue_at IS NOT NULL THEN ?9 ELSE ?8 END
  AND slug > ?6
ORDER BY slug
LIMIT ?7

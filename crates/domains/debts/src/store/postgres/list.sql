-- Debts of a namespace: the overdue ones first, then by their slugs. Tags are whole: they are in the definition
-- as JSON has them.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE namespace_id = $1
  AND (cardinality($2::BIGINT[]) = 0 OR status = ANY($2::BIGINT[]))
  AND ($3::TEXT = '' OR strpos(slug, $3::TEXT) > 0 OR strpos(lower(definition::JSONB ->> 'name'), $3::TEXT) > 0)
  AND (cardinality($4::TEXT[]) = 0 OR definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
  AND (status <> 2, slug) > ($5::BOOLEAN, $6::TEXT)
ORDER BY status <> 2, slug
LIMIT $7

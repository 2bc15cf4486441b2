-- Debts of a namespace: the overdue ones first, then the late ones, each by their slugs; without
-- a moment, by their slugs alone. Tags are whole: they are in the definition
-- as JSON has them.
SELECT
    id, namespace_id, number, ping_id, definition, created_at, status, since, settled_at, due_at, overdue_at,
    failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
FROM tally_debts
WHERE namespace_id = $1
  AND (cardinality($2::BIGINT[]) = 0 OR status = ANY($2::BIGINT[]))
  AND ($3::TEXT = '' OR strpos(slug, $3::TEXT) > 0 OR strpos(lower(definition::JSONB ->> 'name'), $3::TEXT) > 0)
  AND (cardinality($4::TEXT[]) = 0 OR definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
  AND (CASE WHEN $5::TIMESTAMPTZ IS NULL THEN 2 WHEN status = 2 THEN 0 WHEN status <= 1 AND due_at <= $5::TIMESTAMPTZ THEN 1 ELSE 2 END, slug) > ($6::BIGINT, $7::TEXT)
ORDER BY CASE WHEN $5::TIMESTAMPTZ IS NULL THEN 2 WHEN status = 2 THEN 0 WHEN status <= 1 AND due_at <= $5::TIMESTAMPTZ THEN 1 ELSE 2 END, slug
LIMIT $8

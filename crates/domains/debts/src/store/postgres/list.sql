-- Debts of a namespace: the overdue ones first, then by their slugs. Of each status, an index has them in this
-- order, so that no more of them is read than a page has; asked for by equality, the planner may take the index
-- of slugs, and read those of every status. Tags are whole: they are in the definition as JSON has them.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM unnest($2::BIGINT[]) AS w (status)
CROSS JOIN LATERAL (
    SELECT o.*
    FROM tally_debts AS o
    WHERE o.namespace_id = $1
      AND (o.status, o.slug) > (w.status, CASE WHEN (w.status <> 2) = $5::BOOLEAN THEN $6::TEXT ELSE '' END)
      AND o.status <= w.status
      AND ($3::TEXT = '' OR strpos(o.slug, $3::TEXT) > 0 OR strpos(lower(o.definition::JSONB ->> 'name'), $3::TEXT) > 0)
      AND (cardinality($4::TEXT[]) = 0 OR o.definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
    ORDER BY o.status, o.slug
    LIMIT $7
) AS d
WHERE (w.status <> 2) >= $5::BOOLEAN
ORDER BY d.status <> 2, d.slug
LIMIT $7

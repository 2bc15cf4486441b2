-- Debts of a namespace: the overdue ones first, then the late ones, then the others, each by their slugs; without a
-- moment, all by their slugs. Of each status, an index has them in this order, so that no more of them is read than a
-- page has, and those that are late are found by their deadlines. Asked for by equality, the planner may take the
-- index of slugs, and read those of every status. Tags are whole: they are in the definition as JSON has them.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM (
    SELECT w.place, o.*
    FROM (
        SELECT s.status, CASE WHEN s.status = 2 AND $5::TIMESTAMPTZ IS NOT NULL THEN 0 ELSE 2 END AS place
        FROM unnest($2::BIGINT[]) AS s (status)
    ) AS w
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM tally_debts AS o
        WHERE o.namespace_id = $1
          AND (o.status, o.slug) > (w.status, CASE WHEN w.place = $6::BIGINT THEN $7::TEXT ELSE '' END)
          AND o.status <= w.status
          AND (
              $5::TIMESTAMPTZ IS NULL OR o.status >= 2
              OR o.due_at IS NULL OR o.due_at > $5::TIMESTAMPTZ OR o.overdue_at IS NULL
          )
          AND ($3::TEXT = '' OR strpos(o.slug, $3::TEXT) > 0 OR strpos(lower(o.definition::JSONB ->> 'name'), $3::TEXT) > 0)
          AND (cardinality($4::TEXT[]) = 0 OR o.definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
        ORDER BY o.status, o.slug
        LIMIT $8
    ) AS o
    WHERE w.place >= $6::BIGINT
    UNION ALL
    SELECT 1, o.*
    FROM tally_debt_deadlines AS w
    CROSS JOIN LATERAL (SELECT o.* FROM tally_debts AS o WHERE o.id = w.debt_id LIMIT 1) AS o
    WHERE w.namespace_id = $1
      AND w.late_at <= $5::TIMESTAMPTZ
      AND ($6::BIGINT = 0 OR $6::BIGINT = 1 AND o.slug > $7::TEXT)
      AND o.status = ANY($2::BIGINT[])
      AND ($3::TEXT = '' OR strpos(o.slug, $3::TEXT) > 0 OR strpos(lower(o.definition::JSONB ->> 'name'), $3::TEXT) > 0)
      AND (cardinality($4::TEXT[]) = 0 OR o.definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
) AS d
ORDER BY d.place, d.slug
LIMIT $8

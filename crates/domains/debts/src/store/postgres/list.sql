-- Debts of a namespace: the overdue ones first, then those that are late at this moment, then the others, each by their
-- slugs; or all by their slugs ($11). Of each status, an index has them in this order, so that no more of them is read
-- than a page has; of those that are not late, and of the late ones ($10), those that are asked for. The late ones are
-- found by their deadlines, unless all are by their slugs. Asked for by equality, the planner may take the index of
-- slugs, and read those of every status. Tags are whole: they are in the definition as JSON has them.
SELECT
    d.id, d.namespace_id, d.number, d.ping_id, d.definition, d.created_at, d.status, d.since, d.settled_at,
    d.due_at, d.overdue_at, d.failures, d.successes, d.paid_at, d.rate_period_at, d.rate_payments, d.payments,
    d.runs, d.open_runs, d.flips
FROM (
    SELECT w.place, o.*
    FROM (
        SELECT s.status, s.is_asked, CASE WHEN s.status = 2 AND NOT $11::BOOLEAN THEN 0 ELSE 2 END AS place
        FROM unnest($2::BIGINT[], $9::BOOLEAN[]) AS s (status, is_asked)
    ) AS w
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM tally_debts AS o
        WHERE o.namespace_id = $1
          AND (o.status, o.slug) > (w.status, CASE WHEN w.place = $6::BIGINT THEN $7::TEXT ELSE '' END)
          AND o.status <= w.status
          AND CASE
              WHEN o.status < 2 AND o.due_at <= $5::TIMESTAMPTZ AND o.overdue_at IS NOT NULL
                  THEN $10::BOOLEAN AND $11::BOOLEAN
              ELSE w.is_asked
          END
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
      AND $10::BOOLEAN AND NOT $11::BOOLEAN
      AND ($6::BIGINT = 0 OR $6::BIGINT = 1 AND o.slug > $7::TEXT)
      AND ($3::TEXT = '' OR strpos(o.slug, $3::TEXT) > 0 OR strpos(lower(o.definition::JSONB ->> 'name'), $3::TEXT) > 0)
      AND (cardinality($4::TEXT[]) = 0 OR o.definition::JSONB -> 'tags' @> to_jsonb($4::TEXT[]))
) AS d
ORDER BY d.place, d.slug
LIMIT $8

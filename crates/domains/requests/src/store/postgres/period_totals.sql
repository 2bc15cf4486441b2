-- A range scan of the primary key for each period, which is named by its first day within the
-- range. Much faster than date_trunc, which would be called for each row. LATERAL keeps the
-- planner from reading the whole table for each period. Sums stay within 64 bits.
SELECT p.first, t.series_id, t.total
FROM unnest($1::INT4[], $2::INT4[]) AS p (first, next)
CROSS JOIN LATERAL (
    SELECT series_id, least(sum(total), 9223372036854775807)::INT8 AS total
    FROM tally_request_days
    WHERE day >= DATE '1970-01-01' + p.first AND day < DATE '1970-01-01' + p.next
      AND ($3::INT8[] IS NULL OR series_id = ANY ($3::INT8[]))
    GROUP BY series_id
) AS t

-- Months that lie in one period, summed here, which saves sending each of them: a range scan of the
-- primary key for each few. LATERAL keeps the planner from reading the whole table for each. Sums stay
-- within 64 bits.
SELECT p.period, t.series_id, t.total
FROM unnest($1::INT4[], $2::DATE[], $3::DATE[]) AS p (period, first, last)
CROSS JOIN LATERAL (
    SELECT series_id, least(sum(total), 9223372036854775807)::INT8 AS total
    FROM tally_request_months
    WHERE month >= p.first AND month <= p.last
      AND ($4::INT8[] IS NULL OR series_id = ANY ($4::INT8[]))
    GROUP BY series_id
) AS t

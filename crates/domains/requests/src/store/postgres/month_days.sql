-- Months that are taken apart: a range scan of the primary key for each few. OFFSET keeps the planner
-- from joining, for which it might read the whole table.
SELECT t.month, t.series_id, t.days
FROM unnest($1::DATE[], $2::DATE[]) AS p (first, last)
CROSS JOIN LATERAL (
    SELECT month, series_id, days
    FROM tally_request_months
    WHERE month >= p.first AND month <= p.last
      AND ($3::INT8[] IS NULL OR series_id = ANY ($3::INT8[]))
    OFFSET 0
) AS t

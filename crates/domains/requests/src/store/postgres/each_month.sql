-- Single months that lie in one period: summing them would cost more than it saves. OFFSET keeps the
-- planner from joining, for which it might read the whole table.
SELECT p.period, t.series_id, t.total
FROM unnest($1::INT4[], $2::DATE[], $3::DATE[]) AS p (period, first, last)
CROSS JOIN LATERAL (
    SELECT series_id, total
    FROM tally_request_months
    WHERE month >= p.first AND month <= p.last
      AND ($4::INT8[] IS NULL OR series_id = ANY ($4::INT8[]))
    OFFSET 0
) AS t

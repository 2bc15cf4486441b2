-- An index on the day. Without the live totals, those of rolled-up days.
SELECT (c.day - DATE '1970-01-01')::INT4, c.series_id, sum(c.requests)::INT8
FROM tally_request_corrections AS c
JOIN tally_request_calendar AS d ON d.day = c.day
WHERE c.day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND ($3::BOOL OR d.rolled_up_at IS NOT NULL)
GROUP BY c.day, c.series_id

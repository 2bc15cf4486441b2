-- A range scan of the primary key for each range of days. OFFSET 0 keeps the planner from reading
-- the whole table once, to hold each total against each range. The answer is put in order by the caller.
SELECT (t.day - DATE '1970-01-01')::INT4, t.series_id, t.total
FROM unnest($1::INT4[], $2::INT4[]) AS r (first, last)
CROSS JOIN LATERAL (
    SELECT day, series_id, total
    FROM tally_request_days
    WHERE day >= DATE '1970-01-01' + r.first AND day <= DATE '1970-01-01' + r.last
      AND series_id = ANY ($3::INT8[])
    OFFSET 0
) AS t

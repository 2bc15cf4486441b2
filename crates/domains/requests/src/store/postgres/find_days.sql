-- A lookup by the key for each.
SELECT (t.day - DATE '1970-01-01')::INT4, t.series_id, t.total, t.quarters
FROM unnest($1::INT4[], $2::INT8[]) AS w (day, series_id)
JOIN tally_request_days AS t ON t.day = DATE '1970-01-01' + w.day AND t.series_id = w.series_id

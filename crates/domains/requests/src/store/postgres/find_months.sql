-- A lookup by the key for each.
SELECT (t.month - DATE '1970-01-01')::INT4, t.series_id, t.total, t.days
FROM unnest($1::INT4[], $2::INT8[]) AS w (month, series_id)
JOIN tally_request_months AS t
    ON t.month = DATE '1970-01-01' + w.month AND t.series_id = w.series_id

-- A range of the key for each day.
SELECT (day - DATE '1970-01-01')::INT4, series_id, total FROM tally_request_days
WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))

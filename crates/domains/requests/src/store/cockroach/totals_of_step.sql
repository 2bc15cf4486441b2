-- A bounded step: a range of the key for each day, of which all but the first few are for later.
SELECT (day - DATE '1970-01-01')::INT4, series_id, total FROM tally_request_days
WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
  AND series_id > $2::INT8
ORDER BY day, series_id
LIMIT $3::INT8

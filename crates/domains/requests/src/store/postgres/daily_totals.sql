-- A range scan of the primary key; the answer is put in order by the caller.
SELECT (day - DATE '1970-01-01')::INT4, series_id, total
FROM tally_request_days
WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND ($3::INT8[] IS NULL OR series_id = ANY ($3::INT8[]))

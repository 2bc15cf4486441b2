-- In the transaction that adds them to the series that they have moved to. Lookups by the key.
DELETE FROM tally_request_days
WHERE day IN (SELECT DATE '1970-01-01' + n FROM generate_series($1::INT4, $2::INT4) AS g (n))
  AND series_id = ANY ($3::INT8[])
RETURNING (day - DATE '1970-01-01')::INT4, series_id, quarters

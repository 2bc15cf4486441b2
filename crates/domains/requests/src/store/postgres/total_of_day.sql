-- Of a series and of those that have moved to it: lookups by the key.
SELECT total FROM tally_request_days
WHERE day = DATE '1970-01-01' + $1::INT4
  AND series_id IN (SELECT $2::INT8 UNION ALL SELECT from_id FROM tally_request_moves WHERE to_id = $2::INT8)

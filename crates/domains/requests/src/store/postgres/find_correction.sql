-- A lookup by the key.
SELECT (day - DATE '1970-01-01')::INT4, series_id, requests, reason, author FROM tally_request_corrections
WHERE namespace_id = $1::INT8 AND id = $2::UUID

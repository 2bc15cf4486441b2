-- A lookup by the key.
SELECT (day - DATE '1970-01-01')::INT4, series_id, requests, reason, author FROM tally_request_corrections
WHERE id = $1::UUID

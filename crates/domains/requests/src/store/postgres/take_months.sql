-- In the transaction that adds them to the series that they have moved to. Lookups by the key.
DELETE FROM tally_request_months
WHERE month = DATE '1970-01-01' + $1::INT4 AND series_id = ANY ($2::INT8[])
RETURNING series_id, days

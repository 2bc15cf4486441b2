-- The two ends of the primary key within the range.
SELECT (min(day) - DATE '1970-01-01')::INT4, (max(day) - DATE '1970-01-01')::INT4
FROM tally_request_days
WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4

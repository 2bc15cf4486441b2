-- The series of a month and its days that have moved: a range of each key.
SELECT series_id FROM tally_request_months
WHERE month = DATE '1970-01-01' + $1::INT4 AND series_id IN (SELECT from_id FROM tally_request_moves)
UNION
SELECT series_id FROM tally_request_days
WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND series_id IN (SELECT from_id FROM tally_request_moves)

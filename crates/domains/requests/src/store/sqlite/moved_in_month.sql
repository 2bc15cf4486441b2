-- The series of a month and its days that have moved: a range of each key.
SELECT series_id FROM tally_request_months
WHERE month = ?1 AND series_id IN (SELECT from_id FROM tally_request_moves)
UNION
SELECT series_id FROM tally_request_days
WHERE day BETWEEN ?1 AND ?2 AND series_id IN (SELECT from_id FROM tally_request_moves)

-- A range scan of the index of those days that lack something. The coalesce is within: least
-- leaves NULL out, so that without any row the other one would be the answer.
SELECT least(coalesce(sum(dropped), 0), 9223372036854775807)::INT8
FROM tally_producer_days
WHERE dropped > 0
  AND day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4

-- A scan of those of a namespace: people make corrections, so there are few. Each stored one was held against this sum, so it has
-- 64 bits.
SELECT coalesce(sum(abs(requests)), 0)::INT8 FROM tally_request_corrections
WHERE namespace_id = $1::INT8

-- A scan of the partitions of the range: they have no index, since that would slow every
-- insert down.
SELECT ((requested_at AT TIME ZONE 'UTC')::DATE - DATE '1970-01-01')::INT4,
       series_id,
       count(*)
FROM tally_requests
WHERE requested_at >= $1::TIMESTAMPTZ AND requested_at < $2::TIMESTAMPTZ
GROUP BY 1, 2

-- A scan of what is not folded: rows have no index, since that would slow every insert down.
SELECT series_id, requested_at, coalesce(requests, 1) FROM tally_requests
WHERE requested_at >= ?1 AND requested_at < ?2

-- A scan: rows have no index.
SELECT min(requested_at), max(requested_at) FROM tally_requests
WHERE requested_at >= ?1 AND requested_at < ?2

-- The rows that are not folded, of all trays. Each counts once.
SELECT series_id, requested_at, requests FROM tally_requests

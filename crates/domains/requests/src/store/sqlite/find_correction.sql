-- A lookup by the key.
SELECT day, series_id, requests, reason, author FROM tally_request_corrections WHERE namespace_id = ?1 AND id = ?2

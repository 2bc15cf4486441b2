-- A lookup by the key.
SELECT day, series_id, requests, reason, author FROM tally_request_corrections WHERE id = ?1

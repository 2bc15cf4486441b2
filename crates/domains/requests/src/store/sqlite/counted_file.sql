-- A lookup by the key.
SELECT name, reading, requests, malformed, counted_at FROM tally_request_files
WHERE namespace_id = ?2 AND fingerprint = ?1

-- A lookup by the key.
SELECT name, reading, requests, malformed, counted_at FROM tally_counted_files
WHERE fingerprint = ?1

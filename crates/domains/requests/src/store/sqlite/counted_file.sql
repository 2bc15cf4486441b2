-- A lookup by the key.
SELECT name, requests, counted_at FROM tally_counted_files WHERE fingerprint = ?1

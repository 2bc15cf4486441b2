-- Lookups by the key.
SELECT fingerprint, name, reading, requests, malformed, counted_at FROM tally_request_files
WHERE fingerprint = ANY ($1::BYTEA[]) ORDER BY fingerprint

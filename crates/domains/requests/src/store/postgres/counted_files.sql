-- Lookups by the key.
SELECT fingerprint, name, reading, requests, malformed, counted_at FROM tally_request_files
WHERE namespace_id = $2::INT8 AND fingerprint = ANY ($1::BYTEA[]) ORDER BY fingerprint

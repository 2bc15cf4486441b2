-- Lookups by the key.
SELECT fingerprint, name, requests, counted_at FROM tally_counted_files
WHERE fingerprint = ANY ($1::BYTEA[]) ORDER BY fingerprint

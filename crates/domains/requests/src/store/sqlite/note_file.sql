-- In the transaction that forgets the producer which has counted it.
INSERT INTO tally_request_files
    (namespace_id, fingerprint, name, reading, requests, malformed, counted_at)
VALUES (?7, ?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (namespace_id, fingerprint) DO UPDATE SET
    name = excluded.name, reading = excluded.reading, requests = excluded.requests,
    malformed = excluded.malformed, counted_at = excluded.counted_at

-- In the transaction that forgets the producer which has counted it.
INSERT INTO tally_counted_files (fingerprint, name, requests, counted_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (fingerprint) DO UPDATE SET
    name = excluded.name, requests = excluded.requests, counted_at = excluded.counted_at

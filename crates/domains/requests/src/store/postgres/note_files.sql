-- In the transaction that forgets the producer which has counted them.
INSERT INTO tally_counted_files AS f (fingerprint, name, requests, counted_at)
SELECT w.fingerprint, w.name, w.requests, w.counted_at
FROM unnest($1::BYTEA[], $2::TEXT[], $3::INT8[], $4::TIMESTAMPTZ[])
    AS w (fingerprint, name, requests, counted_at)
ORDER BY w.fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET
    name = excluded.name, requests = excluded.requests, counted_at = excluded.counted_at

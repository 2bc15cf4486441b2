-- In the transaction that forgets the producer which has counted them.
INSERT INTO tally_request_files AS f
    (namespace_id, fingerprint, name, reading, requests, malformed, counted_at)
SELECT $7::INT8, w.fingerprint, w.name, w.reading, w.requests, w.malformed, w.counted_at
FROM unnest($1::BYTEA[], $2::TEXT[], $3::BYTEA[], $4::INT8[], $5::INT8[], $6::TIMESTAMPTZ[])
    AS w (fingerprint, name, reading, requests, malformed, counted_at)
ORDER BY w.fingerprint
ON CONFLICT (namespace_id, fingerprint) DO UPDATE SET
    name = excluded.name, reading = excluded.reading, requests = excluded.requests,
    malformed = excluded.malformed, counted_at = excluded.counted_at

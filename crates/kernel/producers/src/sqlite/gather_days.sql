-- Adds up the first rows of batches that have many days, under the nil UUID, in the order of the key.
-- A row for each, because SQLite's sum fails beyond 64 bits.
INSERT INTO tally_producer_days (worker_id, day, domain, namespace_id, accepted, dropped)
SELECT zeroblob(16), day, domain, namespace_id, accepted, dropped FROM (
    SELECT * FROM tally_producer_batches ORDER BY rowid LIMIT ?1
)
WHERE true
ORDER BY day
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = accepted + min(excluded.accepted, 9223372036854775807 - accepted),
    dropped = dropped + min(excluded.dropped, 9223372036854775807 - dropped)

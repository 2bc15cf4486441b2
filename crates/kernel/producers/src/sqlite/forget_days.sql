-- The days of a worker that was forgotten in the same transaction.
INSERT INTO tally_producer_days (worker_id, day, domain, namespace_id, accepted, dropped)
SELECT zeroblob(16), day, domain, namespace_id, accepted, dropped FROM tally_producer_days
WHERE worker_id = ?1
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = accepted + min(excluded.accepted, 9223372036854775807 - accepted),
    dropped = dropped + min(excluded.dropped, 9223372036854775807 - dropped)

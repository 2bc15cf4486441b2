-- Under the nil UUID. The sum of what was dropped stays within 64 bits.
INSERT INTO tally_producer_days (worker_id, day, domain, namespace_id, accepted, dropped)
VALUES (zeroblob(16), ?3, ?1, ?2, ?4, ?5)
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = accepted + min(excluded.accepted, 9223372036854775807 - accepted),
    dropped = dropped + min(excluded.dropped, 9223372036854775807 - dropped)

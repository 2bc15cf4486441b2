-- What of a day was accepted and dropped. The sums stay within 64 bits, whatever a client says.
INSERT INTO tally_producer_days (worker_id, day, domain, namespace_id, accepted, dropped)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = accepted + min(excluded.accepted, 9223372036854775807 - accepted),
    dropped = dropped + min(excluded.dropped, 9223372036854775807 - dropped)

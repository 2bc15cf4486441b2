-- What of a producer's day was accepted and dropped. The sum of what was dropped stays within
-- 64 bits, whatever a client says.
INSERT INTO tally_producer_days (producer_id, day, domain, namespace_id, accepted, dropped)
SELECT id, ?2, domain, namespace_id, ?3, ?4 FROM tally_producers WHERE id = ?1
ON CONFLICT (producer_id, day, domain, namespace_id) DO UPDATE SET
    accepted = accepted + excluded.accepted,
    dropped = dropped + min(excluded.dropped, 9223372036854775807 - dropped)

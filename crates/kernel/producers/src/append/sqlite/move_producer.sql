-- The caller has read the number in the same transaction. The time is the machine's, in
-- microseconds, and only decides when a silent producer is forgotten. Without a new checkpoint, the
-- one before it stays. The sums stay
-- within 64 bits, whatever a client says.
UPDATE tally_producers SET
    sequence = ?2,
    last_seen = CAST(unixepoch('subsec') * 1000000 AS INTEGER),
    accepted = accepted + min(?3, 9223372036854775807 - accepted),
    dropped = dropped + min(?4, 9223372036854775807 - dropped),
    checkpoint = coalesce(?5, checkpoint),
    checkpoint_at = iif(?5 IS NULL, checkpoint_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
WHERE id = ?1 AND namespace_id = ?6

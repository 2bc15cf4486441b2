-- The caller has read the number in the same transaction. The time is the machine's, in
-- microseconds, and only decides when a silent producer is forgotten.
UPDATE tally_producers
SET sequence = ?2, last_seen = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE id = ?1

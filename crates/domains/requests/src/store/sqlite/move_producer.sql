-- The caller has read the number in the same transaction. The time is the machine's, in
-- microseconds, and only decides when a silent producer is forgotten.
INSERT INTO tally_producers (id, sequence, last_seen)
VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, last_seen = excluded.last_seen

-- The caller has seen in the same transaction that it is not there.
INSERT INTO tally_producers (id, sequence, epoch, claim, name, last_seen)
VALUES (?1, 0, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000000 AS INTEGER))

-- The caller has looked for it in the same transaction.
INSERT INTO tally_producers (id, domain, sequence, epoch, claim, name, last_seen)
VALUES (?1, ?2, 0, ?3, ?4, ?5, CAST(unixepoch('subsec') * 1000000 AS INTEGER))

-- The caller has looked for it in the same transaction.
INSERT INTO tally_producers
    (id, domain, namespace_id, sequence, epoch, claim, name, is_shared, last_seen)
VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
RETURNING last_seen

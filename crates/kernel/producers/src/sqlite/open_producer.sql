-- The caller has read the row in the same transaction.
UPDATE tally_producers
SET epoch = ?2, claim = ?3, name = ?4,
    last_seen = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE id = ?1

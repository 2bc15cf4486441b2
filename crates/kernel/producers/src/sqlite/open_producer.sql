-- The caller has read the row in the same transaction. Two streams that open it have two times, by
-- which a stream knows whether another one has opened it since.
UPDATE tally_producers SET
    epoch = ?2, claim = ?3, name = ?4,
    last_seen = max(CAST(unixepoch('subsec') * 1000000 AS INTEGER), last_seen + 1)
WHERE id = ?1 AND namespace_id = ?5
RETURNING last_seen

-- Only as its client has left it: a process, or a stream, that has opened it since needs it.
DELETE FROM tally_producers
WHERE domain = ?1 AND namespace_id = ?2 AND id = ?3 AND epoch = ?4 AND sequence = ?5
  AND (?6 IS NULL OR last_seen = ?6)
RETURNING id, epoch = 0, accepted

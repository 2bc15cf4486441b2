-- Only as its client has left it: a process that has opened it since needs it.
DELETE FROM tally_producers
WHERE domain = ?1 AND namespace_id = ?2 AND id = ?3 AND epoch = ?4 AND sequence = ?5
RETURNING id, epoch = 0, accepted

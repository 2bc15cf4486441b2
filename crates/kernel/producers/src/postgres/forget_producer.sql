-- Only as its client has left it: a process, or a stream, that has opened it since needs it.
DELETE FROM tally_producers
WHERE domain = $1::TEXT AND namespace_id = $2 AND id = $3 AND epoch = $4 AND sequence = $5
  AND ($6::TIMESTAMPTZ IS NULL OR last_seen = $6::TIMESTAMPTZ)
RETURNING id, epoch = 0, accepted

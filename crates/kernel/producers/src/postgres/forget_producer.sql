-- Only as its client has left it: a process that has opened it since needs it.
DELETE FROM tally_producers
WHERE domain = $1::TEXT AND id = $2 AND epoch = $3 AND sequence = $4
RETURNING id

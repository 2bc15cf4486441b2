-- Only as its client has left it: a process that has opened it since needs it.
DELETE FROM tally_producers WHERE id = $1 AND epoch = $2 AND sequence = $3 RETURNING id

-- The caller has locked the row.
UPDATE tally_producers SET epoch = $2, claim = $3, name = $4, last_seen = now() WHERE id = $1

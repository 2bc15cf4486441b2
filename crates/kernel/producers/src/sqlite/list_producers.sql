-- producers_max bounds the table.
SELECT id, name, sequence, epoch = 0, last_seen FROM tally_producers
WHERE domain = ?1 AND (epoch > 0 OR ?2)
ORDER BY last_seen DESC, id

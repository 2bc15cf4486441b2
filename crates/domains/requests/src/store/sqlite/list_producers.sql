-- Every producer; producers_max bounds the table.
SELECT id, name, sequence, epoch = 0, last_seen FROM tally_producers
WHERE epoch > 0 OR ?1
ORDER BY last_seen DESC, id

-- producers_max bounds the table.
SELECT
    id, name, sequence, epoch = 0, last_seen, accepted, dropped, checkpoint, checkpoint_at
FROM tally_producers
WHERE domain = ?1 AND namespace_id = ?2 AND (epoch > 0 OR ?3)
ORDER BY last_seen DESC, id

-- producers_max bounds the table.
SELECT
    id, name, sequence, epoch = 0, last_seen, accepted, dropped, checkpoint, checkpoint_at
FROM tally_producers
WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND (epoch > 0 OR $3::BOOL)
ORDER BY last_seen DESC, id

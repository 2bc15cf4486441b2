-- By the whole id or by its end, which is what people see of it. If there are several, the transaction is
-- rolled back.
DELETE FROM tally_producers
WHERE domain = ?1 AND namespace_id = ?2 AND epoch > 0
  AND (id = ?3 OR lower(hex(substr(id, 13))) = ?4)
RETURNING id, name, sequence, epoch = 0, last_seen, accepted, dropped, checkpoint, checkpoint_at

-- By the whole id or by its end, which is what people see of it. If there are several, the transaction is
-- rolled back.
DELETE FROM tally_producers
WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND epoch > 0
  AND (id = $3::UUID OR right(id::TEXT, 8) = $4::TEXT)
RETURNING id, name, sequence, epoch = 0, last_seen, accepted, dropped, checkpoint, checkpoint_at

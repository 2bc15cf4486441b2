-- Into the next batch.
UPDATE tally_outbox_counts SET batch = $1::INT8
WHERE batch = 0
  AND id IN (SELECT id FROM tally_outbox_counts WHERE batch = 0 ORDER BY id LIMIT $2::INT8)

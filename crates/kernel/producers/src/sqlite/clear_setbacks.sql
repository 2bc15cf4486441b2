-- By the end of the id, which is all that people see of it: 8 hexadecimal digits, so never `all`.
DELETE FROM tally_producer_setbacks
WHERE domain = ?1 AND namespace_id = ?2
  AND (?3 = 'all' OR lower(hex(substr(producer_id, 13))) = ?3)
RETURNING producer_id, name, noticed_at, since, producers, batches

-- By the end of the id, which is all that people see of it: 8 hexadecimal digits, so never `all`.
DELETE FROM tally_producer_setbacks
WHERE domain = $1::TEXT AND namespace_id = $2::INT8
  AND ($3::TEXT = 'all' OR right(producer_id::TEXT, 8) = $3::TEXT)
RETURNING producer_id, name, noticed_at, since, producers, batches

-- By the end of the id, which is all that people are shown of it. `all` is not one: it has 8 hex digits.
DELETE FROM tally_setbacks
WHERE $1::TEXT = 'all' OR right(producer_id::TEXT, 8) = $1::TEXT
RETURNING producer_id, name, noticed_at, since, producers, batches

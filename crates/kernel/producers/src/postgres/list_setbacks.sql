-- All of them: there are a thousand at most.
SELECT producer_id, name, noticed_at, since, producers, batches FROM tally_producer_setbacks
WHERE domain = $1::TEXT AND namespace_id = $2::INT8
ORDER BY noticed_at, producer_id

-- What they were is read before it, in the same transaction.
UPDATE tally_producer_days SET dropped = 0
WHERE dropped > 0 AND domain = ?1 AND namespace_id = ?2 AND day BETWEEN ?3 AND ?4

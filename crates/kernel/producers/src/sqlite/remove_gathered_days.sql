-- They were added up in the same transaction.
DELETE FROM tally_producer_batches
WHERE rowid IN (SELECT rowid FROM tally_producer_batches ORDER BY rowid LIMIT ?1)

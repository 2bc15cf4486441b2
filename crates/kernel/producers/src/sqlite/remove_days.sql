-- They were added up in the same transaction.
DELETE FROM tally_producer_days WHERE worker_id = ?1

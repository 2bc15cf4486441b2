-- They were added up in the same transaction. Not in one statement with that: CockroachDB lets none
-- change a table twice.
DELETE FROM tally_producer_days WHERE worker_id = ANY ($1::UUID[])

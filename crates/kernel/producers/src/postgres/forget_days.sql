-- The days of producers that were forgotten in the same transaction.
DELETE FROM tally_producer_days WHERE producer_id = ANY ($1::UUID[])
RETURNING namespace_id, (day - DATE '1970-01-01')::INT4, accepted, dropped

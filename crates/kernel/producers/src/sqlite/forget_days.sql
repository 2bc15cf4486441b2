-- The days of a producer that was forgotten in the same transaction.
DELETE FROM tally_producer_days WHERE producer_id = ?1

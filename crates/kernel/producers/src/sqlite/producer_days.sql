-- A producer's days, by the primary key. The caller adds them up, because SQLite's sum fails
-- beyond 64 bits.
SELECT namespace_id, day, accepted, dropped FROM tally_producer_days WHERE producer_id = ?1

-- A producer's days, by the primary key. They are added up by the caller, since SQLite's sum
-- fails beyond 64 bits.
SELECT day, accepted, dropped FROM tally_producer_days WHERE producer_id = ?1

-- A range scan of the index of those days that lack something. Added up by the caller, since
-- SQLite's sum fails beyond 64 bits.
SELECT dropped FROM tally_producer_days WHERE dropped > 0 AND day BETWEEN ?1 AND ?2

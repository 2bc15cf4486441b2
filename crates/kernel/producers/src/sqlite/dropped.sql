-- A range scan of the index of those days that lack something, and the batches of many days that are
-- not added up yet, which are few. The caller adds them up, because SQLite's sum fails beyond 64 bits.
SELECT dropped FROM tally_producer_days
WHERE dropped > 0 AND domain = ?1 AND namespace_id = ?2 AND day BETWEEN ?3 AND ?4
UNION ALL
SELECT dropped FROM tally_producer_batches
WHERE dropped > 0 AND domain = ?1 AND namespace_id = ?2 AND day BETWEEN ?3 AND ?4

-- Counts no more than the limit; only new producers ask. The limit is for all namespaces together.
SELECT count(*) FROM (
    SELECT 1 FROM tally_producers
    WHERE domain = ?1 AND epoch > 0 AND (is_shared OR NOT ?3)
    LIMIT ?2
)

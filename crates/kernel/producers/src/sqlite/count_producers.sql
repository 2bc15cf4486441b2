-- Counts no more than the limit; only new producers ask. Each namespace has the limit for itself.
SELECT count(*) FROM (
    SELECT 1 FROM tally_producers
    WHERE domain = ?1 AND namespace_id = ?4 AND epoch > 0 AND (is_shared OR NOT ?3)
    LIMIT ?2
)

-- A lookup in the unique index.
SELECT id FROM tally_endpoints WHERE method = ?1 AND path = ?2

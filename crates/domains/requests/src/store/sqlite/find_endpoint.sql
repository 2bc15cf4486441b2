-- A lookup in the unique index.
SELECT id FROM tally_request_series WHERE method = ?1 AND path = ?2

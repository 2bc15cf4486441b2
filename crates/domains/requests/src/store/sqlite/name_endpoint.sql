-- A lookup by the rowid.
SELECT id, method, path FROM tally_request_series WHERE id = ?1

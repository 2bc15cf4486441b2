-- A lookup by the rowid.
SELECT id, method, path FROM tally_endpoints WHERE id = ?1

-- A lookup by the rowid.
SELECT id, namespace_id, service, method, path, status, customer
FROM tally_request_series WHERE id = ?1

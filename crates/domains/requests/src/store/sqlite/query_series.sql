-- All of the dictionary, or all that it has of a namespace, once for a query.
SELECT id, namespace_id, service, method, path, status, customer FROM tally_request_series
WHERE ?1 IS NULL OR namespace_id = ?1

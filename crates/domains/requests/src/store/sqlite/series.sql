-- All of them, when a server starts, and for merges and forgets.
SELECT id, namespace_id, service, method, path, status, customer
FROM tally_request_series

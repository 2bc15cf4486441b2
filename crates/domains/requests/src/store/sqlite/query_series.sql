-- All of the dictionary, once for a query.
SELECT id, namespace_id, service, method, path, status, customer FROM tally_request_series

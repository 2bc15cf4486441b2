-- As many series as a server may tell apart.
SELECT id, namespace_id, service, method, path, status, customer
FROM tally_request_series LIMIT $1::INT8

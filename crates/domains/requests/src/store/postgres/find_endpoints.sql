-- One lookup in the primary key for each series of an answer.
SELECT id, namespace_id, service, method, path, status, customer
FROM tally_request_series WHERE id = ANY ($1::INT8[])

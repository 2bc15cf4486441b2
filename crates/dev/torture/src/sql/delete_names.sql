-- Deletes names from the dictionary, as an operator might by hand.
DELETE FROM tally_request_series WHERE id % :every = 0
RETURNING id, service, method, path, CAST(status AS BIGINT), customer

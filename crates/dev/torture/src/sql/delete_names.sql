-- Deletes names from the dictionary, as an operator might by hand: of `default`, because what has no name
-- counts there.
DELETE FROM tally_request_series WHERE id % :every = 0 AND namespace_id = 0
RETURNING id, service, method, path, CAST(status AS BIGINT), customer

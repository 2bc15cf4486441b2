-- The names of all series.
SELECT id, namespace_id, service, method, path, CAST(status AS BIGINT), customer FROM tally_request_series

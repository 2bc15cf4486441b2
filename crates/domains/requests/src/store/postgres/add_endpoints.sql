-- In one order everywhere, so that two servers that add the same endpoints do not deadlock. What
-- is there already stays: stored_endpoints.sql then says under which id.
INSERT INTO tally_request_series (id, method, path)
SELECT w.id, w.method, w.path
FROM unnest($1::INT8[], $2::INT8[], $3::TEXT[]) AS w (id, method, path)
ORDER BY w.id
ON CONFLICT DO NOTHING

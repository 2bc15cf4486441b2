-- In one order everywhere, so that two servers that add the same endpoints do not deadlock.
INSERT INTO tally_endpoints (method, path)
SELECT DISTINCT w.method, w.path
FROM unnest($1::INT8[], $2::TEXT[]) AS w (method, path)
ORDER BY 1, 2
ON CONFLICT (method, path) DO NOTHING

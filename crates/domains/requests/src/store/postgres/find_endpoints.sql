-- One lookup in the unique index for each endpoint.
SELECT e.id, e.method, e.path
FROM unnest($1::INT8[], $2::TEXT[]) AS w (method, path)
JOIN tally_endpoints AS e ON e.method = w.method AND e.path = w.path

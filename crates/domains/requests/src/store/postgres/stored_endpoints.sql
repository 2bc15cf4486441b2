-- After add_endpoints.sql: the ids of the endpoints, by their places from 1; NULL if another
-- endpoint has the id that was wanted. One lookup in the unique index for each.
SELECT w.place, e.id
FROM unnest($1::INT8[], $2::TEXT[]) WITH ORDINALITY AS w (method, path, place)
LEFT JOIN tally_request_series AS e ON e.method = w.method AND e.path = w.path

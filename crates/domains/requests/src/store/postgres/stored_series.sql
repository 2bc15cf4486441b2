-- After add_series.sql: the ids of the series, by their places from 1; NULL if another series has the
-- id that was wanted. One lookup in the unique index for each.
SELECT w.place, s.id
FROM unnest($1::INT8[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::INT8[], $6::TEXT[])
    WITH ORDINALITY AS w (namespace_id, service, method, path, status, customer, place)
LEFT JOIN tally_request_series AS s
    ON s.namespace_id = w.namespace_id AND s.service = w.service AND s.method = w.method
    AND s.path = w.path AND s.status = w.status AND s.customer = w.customer

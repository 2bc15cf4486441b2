-- In one order everywhere, so that two servers that add the same series do not deadlock. What is
-- there already stays: stored_series.sql then says under which id.
INSERT INTO tally_request_series (id, namespace_id, service, method, path, status, customer)
SELECT w.id, w.namespace_id, w.service, w.method, w.path, w.status, w.customer
FROM unnest($1::INT8[], $2::INT8[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::INT8[], $7::TEXT[])
    AS w (id, namespace_id, service, method, path, status, customer)
ORDER BY w.id
ON CONFLICT DO NOTHING

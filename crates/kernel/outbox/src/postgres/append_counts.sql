-- No batch has them yet.
INSERT INTO tally_outbox_counts (batch, id, namespace_id, service, method, path, status, requested_at)
SELECT 0, c.id, c.namespace_id, c.service, c.method, c.path, c.status, c.requested_at
FROM unnest(
    $1::UUID[], $2::INT8[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::INT8[], $7::TIMESTAMPTZ[]
) AS c (id, namespace_id, service, method, path, status, requested_at)

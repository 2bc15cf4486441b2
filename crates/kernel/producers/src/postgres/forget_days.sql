-- The days of workers that were forgotten in the same transaction, which no longer change. In one
-- order, so that two servers do not deadlock.
INSERT INTO tally_producer_days AS d (worker_id, day, domain, namespace_id, accepted, dropped)
SELECT
    '00000000-0000-0000-0000-000000000000', day, domain, namespace_id,
    least(sum(accepted), 9223372036854775807)::INT8, least(sum(dropped), 9223372036854775807)::INT8
FROM tally_producer_days
WHERE worker_id = ANY ($1::UUID[])
GROUP BY day, domain, namespace_id
ORDER BY day, domain, namespace_id
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = d.accepted + least(excluded.accepted, 9223372036854775807 - d.accepted),
    dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)

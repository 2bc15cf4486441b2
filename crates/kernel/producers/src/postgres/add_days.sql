-- Under the nil UUID. In one order, so that two servers do not deadlock.
INSERT INTO tally_producer_days AS d (worker_id, day, domain, namespace_id, accepted, dropped)
SELECT
    '00000000-0000-0000-0000-000000000000', DATE '1970-01-01' + n.day, $1::TEXT, $2::INT8,
    n.accepted, n.dropped
FROM unnest($3::INT4[], $4::INT8[], $5::INT8[]) AS n (day, accepted, dropped)
ORDER BY n.day
ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
    accepted = d.accepted + least(excluded.accepted, 9223372036854775807 - d.accepted),
    dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)

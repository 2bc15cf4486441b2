-- Adds up the days of a few batches that have many, under the nil UUID, and returns how many batches
-- there were. In one order, so that two servers do not deadlock.
WITH gone AS (
    DELETE FROM tally_producer_batches
    WHERE (worker_id, sequence, namespace_id) IN (
        SELECT worker_id, sequence, namespace_id FROM tally_producer_batches
        ORDER BY worker_id, sequence, namespace_id LIMIT $1::INT8
        FOR UPDATE
    )
    RETURNING domain, namespace_id, days, accepted, dropped
), added AS (
    INSERT INTO tally_producer_days AS d (worker_id, day, domain, namespace_id, accepted, dropped)
    SELECT
        '00000000-0000-0000-0000-000000000000', DATE '1970-01-01' + n.day, g.domain, g.namespace_id,
        least(sum(n.accepted), 9223372036854775807)::INT8, least(sum(n.dropped), 9223372036854775807)::INT8
    FROM gone AS g, unnest(g.days, g.accepted, g.dropped) AS n (day, accepted, dropped)
    GROUP BY n.day, g.domain, g.namespace_id
    ORDER BY n.day, g.domain, g.namespace_id
    ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
        accepted = d.accepted + least(excluded.accepted, 9223372036854775807 - d.accepted),
        dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)
    RETURNING d.day
)
SELECT count(*) FROM gone

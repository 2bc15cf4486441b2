-- The same as move_many.sql for a batch of one producer, which most are: half of the work for a
-- batch of a few rows. A domain's rows, which are stored if the producer moves, go where ':stored'
-- is. The answer is how many producers moved, or -1 if the domain's condition does not hold.
WITH moved AS (
    UPDATE tally_producers SET
        sequence = $5::INT8,
        last_seen = now(),
        accepted = accepted + least($6::INT8, 9223372036854775807 - accepted),
        dropped = dropped + least($7::INT8, 9223372036854775807 - dropped),
        checkpoint = coalesce($13::BYTEA, checkpoint),
        checkpoint_at = CASE WHEN $13::BYTEA IS NULL THEN checkpoint_at ELSE now() END
    WHERE id = $1::UUID AND namespace_id = $2::INT8 AND epoch = $3::INT8 AND sequence = $4::INT8 AND :open
    RETURNING id, domain
), counted AS (
    INSERT INTO tally_producer_days AS d (worker_id, day, domain, namespace_id, accepted, dropped)
    SELECT $8::UUID, DATE '1970-01-01' + n.day, m.domain, n.namespace_id, n.accepted, n.dropped
    FROM unnest($9::INT8[], $10::INT4[], $11::INT8[], $12::INT8[])
        AS n (namespace_id, day, accepted, dropped)
    CROSS JOIN moved AS m
    ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
        accepted = d.accepted + least(excluded.accepted, 9223372036854775807 - d.accepted),
        dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)
    RETURNING d.day
)
-- :stored
SELECT CASE WHEN :open THEN count(*) ELSE -1 END FROM moved

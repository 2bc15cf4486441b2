-- All producers of a batch move on, or none does. They are locked first, in one order, so that
-- two servers with the same producers wait for each other instead of deadlocking; and a server
-- that comes second with the same batch finds that it does not fit any more. The days are counted
-- under the worker, which no other transaction does. A domain's rows, which
-- are stored if the producers move, go where ':stored' is. The answer is how many producers moved, or
-- -1 if the domain's condition does not hold.
WITH wanted AS (
    SELECT * FROM unnest(
        $1::UUID[], $2::INT8[], $3::INT8[], $4::INT8[], $5::INT8[], $6::INT8[], $7::INT8[], $13::BYTEA[]
    ) AS w (id, namespace_id, epoch, before, last, accepted, dropped, checkpoint)
), locked AS MATERIALIZED (
    SELECT p.id, p.domain, p.namespace_id, p.epoch, p.sequence FROM tally_producers AS p
    WHERE p.id = ANY ($1::UUID[]) ORDER BY p.id, p.namespace_id FOR UPDATE
), fitting AS MATERIALIZED (
    SELECT count(*) AS producers FROM locked AS l
    JOIN wanted AS w ON w.id = l.id AND w.namespace_id = l.namespace_id
        AND w.epoch = l.epoch AND w.before = l.sequence
    WHERE :open
), moved AS (
    UPDATE tally_producers AS p SET
        sequence = w.last,
        last_seen = now(),
        accepted = p.accepted + least(w.accepted, 9223372036854775807 - p.accepted),
        dropped = p.dropped + least(w.dropped, 9223372036854775807 - p.dropped),
        checkpoint = coalesce(w.checkpoint, p.checkpoint),
        checkpoint_at = CASE WHEN w.checkpoint IS NULL THEN p.checkpoint_at ELSE now() END
    FROM wanted AS w
    WHERE p.id = w.id AND p.namespace_id = w.namespace_id
      AND (SELECT producers FROM fitting) = array_length($1::UUID[], 1)
    RETURNING p.id
), counted AS (
    INSERT INTO tally_producer_days AS d (worker_id, day, domain, namespace_id, accepted, dropped)
    SELECT $8::UUID, DATE '1970-01-01' + n.day, l.domain, n.namespace_id, n.accepted, n.dropped
    FROM unnest($9::INT8[], $10::INT4[], $11::INT8[], $12::INT8[])
        AS n (namespace_id, day, accepted, dropped)
    CROSS JOIN (SELECT domain FROM locked LIMIT 1) AS l
    WHERE (SELECT producers FROM fitting) = array_length($1::UUID[], 1)
    ON CONFLICT (worker_id, day, domain, namespace_id) DO UPDATE SET
        accepted = d.accepted + least(excluded.accepted, 9223372036854775807 - d.accepted),
        dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)
    RETURNING d.day
)
-- :stored
SELECT CASE WHEN :open THEN count(*) ELSE -1 END FROM moved

-- The same as append.sql for a batch of one producer, which most are: half of the work for a
-- batch of a few rows.
WITH moved AS (
    UPDATE tally_producers SET sequence = $4::INT8, last_seen = now()
    WHERE id = $1::UUID AND epoch = $2::INT8 AND sequence = $3::INT8
    RETURNING id, domain
), counted AS (
    INSERT INTO tally_producer_days AS d (producer_id, day, domain, accepted, dropped)
    SELECT m.id, DATE '1970-01-01' + n.day, m.domain, n.accepted, n.dropped
    FROM moved AS m
    CROSS JOIN unnest($5::INT4[], $6::INT8[], $7::INT8[]) AS n (day, accepted, dropped)
    ON CONFLICT (producer_id, day, domain) DO UPDATE SET
        accepted = d.accepted + excluded.accepted,
        dropped = d.dropped + least(excluded.dropped, 9223372036854775807 - d.dropped)
    RETURNING d.day
), stored AS (
    INSERT INTO tally_requests (day, series_id, requested_at)
    SELECT (r.requested_at AT TIME ZONE 'UTC')::DATE, r.series_id, r.requested_at
    FROM unnest($8::INT8[], $9::TIMESTAMPTZ[]) AS r (series_id, requested_at)
    WHERE EXISTS (SELECT 1 FROM moved)
    RETURNING day
)
SELECT count(*) FROM moved

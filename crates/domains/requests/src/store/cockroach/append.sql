-- A whole small batch in one statement and one round trip: the producer moves on by one, and
-- only if it did are the rows stored. No row stored means that it did not move.
WITH moved AS (
    INSERT INTO tally_producers AS p (id, sequence)
    SELECT $1::UUID, $2::INT8
    WHERE $2::INT8 = 1 OR EXISTS (SELECT 1 FROM tally_producers WHERE id = $1::UUID)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, last_seen = now()
    WHERE p.sequence = excluded.sequence - 1
    RETURNING p.id
)
INSERT INTO tally_requests (day, endpoint_id, requested_at)
SELECT (r.requested_at AT TIME ZONE 'UTC')::DATE, r.endpoint_id, r.requested_at
FROM unnest($3::INT8[], $4::TIMESTAMPTZ[]) AS r (endpoint_id, requested_at)
WHERE EXISTS (SELECT 1 FROM moved)

-- As in Postgres, with the day, which leads the key; and with RETURNING, which CockroachDB wants of
-- every statement in WITH.
, stored AS (
    INSERT INTO tally_requests (day, series_id, requested_at)
    SELECT (r.requested_at AT TIME ZONE 'UTC')::DATE, r.series_id, r.requested_at
    FROM unnest($11::INT8[], $12::TIMESTAMPTZ[]) AS r (series_id, requested_at)
    WHERE EXISTS (SELECT 1 FROM moved)
    RETURNING day
)

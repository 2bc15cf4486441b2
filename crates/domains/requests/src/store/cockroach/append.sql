-- As in Postgres, with RETURNING, which CockroachDB wants of every statement in WITH.
, stored AS (
    INSERT INTO tally_requests (requested_at, series_id)
    SELECT r.requested_at, r.series_id
    FROM unnest($12::INT8[], $13::TIMESTAMPTZ[]) AS r (series_id, requested_at)
    WHERE EXISTS (SELECT 1 FROM moved)
    RETURNING series_id
)

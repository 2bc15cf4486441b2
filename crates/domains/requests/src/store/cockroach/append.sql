-- As in Postgres, with RETURNING, which CockroachDB wants of every statement in WITH.
, stored AS (
    INSERT INTO tally_requests (requested_at, series_id, requests)
    SELECT r.requested_at, r.series_id, r.requests
    FROM unnest($14::INT8[], $15::TIMESTAMPTZ[], $16::INT8[]) AS r (series_id, requested_at, requests)
    WHERE EXISTS (SELECT 1 FROM moved)
    RETURNING series_id
)

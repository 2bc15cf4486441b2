-- A bounded step: only the rows that it deletes are added up. The form of the DELETE is understood by
-- Postgres too.
DELETE FROM tally_requests
WHERE (requested_at, series_id, id) IN (
    SELECT requested_at, series_id, id FROM tally_requests
    WHERE requested_at >= $1::TIMESTAMPTZ AND requested_at < $2::TIMESTAMPTZ
    ORDER BY requested_at, series_id, id
    LIMIT $3::INT8
)
RETURNING requested_at, series_id, coalesce(requests, 1)

-- Only the rows that this statement itself deletes are added up, so two of them at once never
-- count one row twice. The plan must show a Tid Range Scan: without it every step would read
-- the whole partition.
WITH gone AS (
    DELETE FROM tally_requests_default
    WHERE ctid >= $1::TEXT::TID AND ctid < $2::TEXT::TID
      AND requested_at >= $3::TIMESTAMPTZ AND requested_at < $4::TIMESTAMPTZ
    RETURNING series_id, (requested_at AT TIME ZONE 'UTC')::DATE AS day
), counted AS (
    SELECT day, series_id, count(*) AS total FROM gone GROUP BY day, series_id
), added AS (
    INSERT INTO tally_request_days AS t (day, series_id, total)
    SELECT day, series_id, total FROM counted ORDER BY day, series_id
    ON CONFLICT (day, series_id) DO UPDATE SET total = t.total + excluded.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

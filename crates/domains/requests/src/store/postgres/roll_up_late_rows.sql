-- Only the rows that this statement itself deletes are added up, so two of them at once never
-- count one row twice. The plan must show a Tid Range Scan: without it every step would read
-- the whole partition.
WITH gone AS (
    DELETE FROM tally_requests_default
    WHERE ctid >= $1::TEXT::TID AND ctid < $2::TEXT::TID
      AND requested_at >= $3::TIMESTAMPTZ AND requested_at < $4::TIMESTAMPTZ
    RETURNING endpoint_id, (requested_at AT TIME ZONE 'UTC')::DATE AS day
), counted AS (
    SELECT day, endpoint_id, count(*) AS total FROM gone GROUP BY day, endpoint_id
), added AS (
    INSERT INTO tally_daily_totals AS t (day, endpoint_id, total)
    SELECT day, endpoint_id, total FROM counted ORDER BY day, endpoint_id
    ON CONFLICT (day, endpoint_id) DO UPDATE SET total = t.total + excluded.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

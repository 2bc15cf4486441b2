-- A bounded step: only the rows that it deletes are added up. Each table is changed once, as
-- CockroachDB demands. The form of the DELETE is understood by Postgres too.
WITH gone AS (
    DELETE FROM tally_requests
    WHERE (day, endpoint_id, id) IN (
        SELECT day, endpoint_id, id FROM tally_requests
        WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
        ORDER BY day, endpoint_id, id
        LIMIT $3::INT8
    )
    RETURNING day, endpoint_id
), counted AS (
    SELECT day, endpoint_id, count(*) AS total FROM gone GROUP BY day, endpoint_id
), added AS (
    INSERT INTO tally_daily_totals AS t (day, endpoint_id, total)
    SELECT day, endpoint_id, total FROM counted
    ON CONFLICT (day, endpoint_id) DO UPDATE SET total = t.total + excluded.total
    RETURNING t.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

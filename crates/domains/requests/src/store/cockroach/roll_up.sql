-- A bounded step: only the rows that it deletes are added up. Each table is changed once, as
-- CockroachDB demands. The form of the DELETE is understood by Postgres too.
WITH gone AS (
    DELETE FROM tally_requests
    WHERE (day, series_id, id) IN (
        SELECT day, series_id, id FROM tally_requests
        WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
        ORDER BY day, series_id, id
        LIMIT $3::INT8
    )
    RETURNING day, series_id
), counted AS (
    SELECT day, series_id, count(*) AS total FROM gone GROUP BY day, series_id
), added AS (
    INSERT INTO tally_request_days AS t (day, series_id, total)
    SELECT day, series_id, total FROM counted
    ON CONFLICT (day, series_id) DO UPDATE SET total = t.total + excluded.total
    RETURNING t.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

-- As in Postgres; CockroachDB has no date_bin. It divides a float by no integer, and a float has no room
-- for the microseconds of all years.
SELECT (greatest(bin * ($3::INT4)::INT8 * 900, floor(extract(epoch FROM $1::TIMESTAMPTZ))::INT8) / 900)::INT4,
       series_id,
       requests
FROM (
    SELECT floor(
               extract(epoch FROM date_trunc('second', requested_at))
               / (900 * ($3::INT4)::INT8)::FLOAT8
           )::INT8 AS bin,
           series_id,
           least(count(*) + coalesce(sum(requests - 1), 0), 9223372036854775807)::INT8 AS requests
    FROM tally_requests
    WHERE requested_at >= $1::TIMESTAMPTZ AND requested_at < $2::TIMESTAMPTZ
    GROUP BY 1, 2
) AS t

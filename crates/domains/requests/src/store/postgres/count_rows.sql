-- A scan of what is not folded: rows have no index, since that would slow every insert down. They are
-- counted by as many quarters at a time as do not lie in two periods. Quarters are counted from 1970.
SELECT (extract(epoch FROM greatest(bin, $1::TIMESTAMPTZ)) / 900)::INT4, series_id, requests
FROM (
    SELECT date_bin($3::INT4 * INTERVAL '15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00')
               AS bin,
           series_id,
           least(
               count(*) + coalesce(sum(requests - 1) FILTER (WHERE requests IS NOT NULL), 0),
               9223372036854775807
           )::INT8 AS requests
    FROM :rows AS r
    WHERE requested_at >= $1::TIMESTAMPTZ AND requested_at < $2::TIMESTAMPTZ
    GROUP BY 1, 2
) AS t

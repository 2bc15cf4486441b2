-- One scan, without a word about blocks: only then may it be parallel. The origin is before every time,
-- because date_bin is wrong for some times before it in some versions.
SELECT (extract(epoch FROM t.quarter) / 900)::INT4, t.series_id, t.requests
FROM (
    SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00') AS quarter,
           series_id,
           least(count(*) + coalesce(sum(requests - 1), 0), 9223372036854775807)::INT8 AS requests
    FROM ONLY :tray
    GROUP BY 1, 2
) AS t

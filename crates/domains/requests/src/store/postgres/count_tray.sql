-- One scan, without a word about blocks: only then may it be parallel. The origin is before every time,
-- because date_bin is wrong for some times before it in some versions. FILTER saves the sum a state for
-- each group as long as no row stands for several requests.
SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'),
       series_id,
       least(
           count(*) + coalesce(sum(requests - 1) FILTER (WHERE requests IS NOT NULL), 0),
           9223372036854775807
       )::INT8
FROM :tray
GROUP BY 1, 2

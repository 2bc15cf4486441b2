-- Rows of some blocks by quarter and series: all of them, or only those that stand for several requests. The
-- origin is before every time, because date_bin is wrong for some times before it in some versions. FILTER
-- saves the sum a state for each group as long as no row stands for several requests. The plan as for
-- count_part.sql.
SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'),
       series_id,
       least(
           count(*) + coalesce(sum(requests - 1) FILTER (WHERE requests IS NOT NULL), 0),
           9223372036854775807
       )::INT8
FROM :tray
WHERE ctid >= $1::TEXT::TID AND ctid < $2::TEXT::TID AND ($3::BOOL OR requests IS NOT NULL)
GROUP BY 1, 2

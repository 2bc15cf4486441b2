-- As count_tray.sql, for some blocks. The plan must show a Tid Range Scan: without it every step would
-- read the whole tray. FILTER saves the sum a state for each group as long as no row stands for several
-- requests.
SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'),
       series_id,
       least(
           count(*) + coalesce(sum(requests - 1) FILTER (WHERE requests IS NOT NULL), 0),
           9223372036854775807
       )::INT8
FROM :tray
WHERE ctid >= $1::TEXT::TID AND ctid < $2::TEXT::TID
GROUP BY 1, 2

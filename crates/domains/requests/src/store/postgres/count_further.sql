-- What rows that stand for several requests have beyond the one that count_tray.sql counts.
SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'),
       series_id,
       least(sum(requests - 1), 9223372036854775807)::INT8,
       FALSE
FROM :tray
WHERE requests IS NOT NULL
GROUP BY 1, 2

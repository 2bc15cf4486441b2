-- One scan, without a word about blocks: only then may it be parallel. The origin is before every time,
-- because date_bin is wrong for some times before it in some versions. Rows that stand for several requests
-- count as one: the last column says whether there are any. Counting them here costs every other row less
-- than a sum does, which has to be called for a NULL as well.
SELECT date_bin('15 minutes', requested_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'),
       series_id,
       count(*),
       count(requests) > 0
FROM :tray
GROUP BY 1, 2

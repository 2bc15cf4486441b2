-- One scan of the partition, which the caller has locked. Totals grow by addition, so it does
-- not matter how often a day is rolled up. In one order, so that two servers do not deadlock.
WITH counted AS (
    SELECT series_id, count(*) AS total FROM :partition GROUP BY series_id
), added AS (
    INSERT INTO tally_request_days AS t (day, series_id, total)
    SELECT DATE '1970-01-01' + $1::INT4, series_id, total FROM counted ORDER BY series_id
    ON CONFLICT (day, series_id) DO UPDATE SET total = t.total + excluded.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

-- One scan of the partition, which the caller has locked. Totals grow by addition, so it does
-- not matter how often a day is rolled up. In one order, so that two servers do not deadlock.
WITH counted AS (
    SELECT endpoint_id, count(*) AS total FROM :partition GROUP BY endpoint_id
), added AS (
    INSERT INTO tally_daily_totals AS t (day, endpoint_id, total)
    SELECT DATE '1970-01-01' + $1::INT4, endpoint_id, total FROM counted ORDER BY endpoint_id
    ON CONFLICT (day, endpoint_id) DO UPDATE SET total = t.total + excluded.total
)
SELECT coalesce(sum(total), 0)::INT8 FROM counted

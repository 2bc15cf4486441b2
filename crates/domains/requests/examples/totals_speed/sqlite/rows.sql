-- Spread over the last day.
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})
INSERT INTO tally_requests_0 (series_id, requested_at)
SELECT 1 + n % {series}, {last} * 86400000000 + n * 80000 FROM n

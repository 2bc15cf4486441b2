BEGIN;
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {series})
INSERT INTO tally_request_series
SELECT n, 0, 'service ' || (n % 5), CASE n % 3 WHEN 0 THEN 'GET' WHEN 1 THEN 'POST' ELSE 'PUT' END,
       '/some/path/to/' || (n / 6), CASE n % 4 WHEN 0 THEN 200 WHEN 1 THEN 204 WHEN 2 THEN 404 ELSE 500 END,
       'customer ' || (n % 50)
FROM n;
WITH RECURSIVE d (d) AS (SELECT {first} UNION ALL SELECT d + 1 FROM d WHERE d < {last})
INSERT INTO tally_request_calendar SELECT d, 1, CASE WHEN d < {kept} THEN 1 END FROM d;
INSERT INTO tally_request_months
SELECT c.day, s.id, 31 * (s.id % 900 + 100),
       '[0' || replace(hex(zeroblob(31)), '00', ',' || (s.id % 900 + 100)) || ']'
FROM tally_request_calendar AS c, tally_request_series AS s
WHERE strftime('%d', c.day * 86400, 'unixepoch') = '01'
ORDER BY 1, 2;
INSERT INTO tally_request_days
SELECT c.day, s.id, 96 * (s.id % 90 + 10),
       '[0' || replace(hex(zeroblob(96)), '00', ',' || (s.id % 90 + 10)) || ']'
FROM tally_request_calendar AS c, tally_request_series AS s
WHERE c.pruned_at IS NULL
ORDER BY 1, 2;
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})
INSERT INTO tally_requests (series_id, requested_at)
SELECT 1 + n % {series}, {last} * 86400000000 + n * 80000 FROM n;
COMMIT;

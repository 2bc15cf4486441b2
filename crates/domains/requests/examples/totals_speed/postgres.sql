INSERT INTO tally_request_series
SELECT n, 0, 'service ' || n % 5, (ARRAY['GET', 'POST', 'PUT'])[1 + n % 3], '/some/path/to/' || n / 6,
       (ARRAY[200, 204, 404, 500])[1 + n % 4], 'customer ' || n % 50
FROM generate_series(1, {series}) AS n;
INSERT INTO tally_request_calendar
SELECT DATE '1970-01-01' + d, now(), CASE WHEN d < {kept} THEN now() END
FROM generate_series({first}, {last}) AS d;
INSERT INTO tally_request_months
SELECT m, n, 31 * (n % 900 + 100),
       '[0' || repeat(',' || n % 900 + 100, 31) || ']'
FROM generate_series(DATE '1970-01-01' + {first}, DATE '1970-01-01' + {last}, INTERVAL '1 month') AS m,
     generate_series(1, {series}) AS n;
INSERT INTO tally_request_days
SELECT DATE '1970-01-01' + d, s.n, 96 * (s.n % 90 + 10), s.quarters
FROM generate_series({kept}, {last}) AS d,
     (SELECT n, '[0' || repeat(',' || n % 90 + 10, 96) || ']' AS quarters
      FROM generate_series(1, {series}) AS n) AS s;
INSERT INTO tally_requests (series_id, requested_at)
SELECT 1 + n % {series},
       TIMESTAMPTZ 'epoch' + {last} * INTERVAL '1 day' + n * INTERVAL '80 milliseconds'
FROM generate_series(1, {rows}) AS n;
ANALYZE;

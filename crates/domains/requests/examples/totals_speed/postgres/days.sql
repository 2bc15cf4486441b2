-- Every quarter of a day that is kept has requests.
INSERT INTO tally_request_days
SELECT DATE '1970-01-01' + d, s.n, 96 * (s.n % 90 + 10), s.quarters
FROM generate_series({kept}, {last}) AS d,
     (SELECT n, '[0' || repeat(',' || n % 90 + 10, 96) || ']' AS quarters
      FROM generate_series(1, {series}) AS n) AS s

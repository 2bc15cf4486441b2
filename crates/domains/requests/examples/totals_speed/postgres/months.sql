-- Every series has requests on every day.
INSERT INTO tally_request_months
SELECT m, n, 31 * (n % 900 + 100),
       '[0' || repeat(',' || n % 900 + 100, 31) || ']'
FROM generate_series(DATE '1970-01-01' + {first}, DATE '1970-01-01' + {last}, INTERVAL '1 month') AS m,
     generate_series(1, {series}) AS n

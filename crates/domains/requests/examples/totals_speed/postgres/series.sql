-- Six series share a path, and fifty customers share them all.
INSERT INTO tally_request_series
SELECT n, 0, 'service ' || n % 5, (ARRAY['GET', 'POST', 'PUT'])[1 + n % 3], '/some/path/to/' || n / 6,
       (ARRAY[200, 204, 404, 500])[1 + n % 4], 'customer ' || n % 50
FROM generate_series(1, {series}) AS n

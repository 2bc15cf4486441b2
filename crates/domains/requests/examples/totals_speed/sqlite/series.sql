-- Six series share a path, and fifty customers share them all.
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {series})
INSERT INTO tally_request_series
SELECT n, 0, 'service ' || (n % 5), CASE n % 3 WHEN 0 THEN 'GET' WHEN 1 THEN 'POST' ELSE 'PUT' END,
       '/some/path/to/' || (n / 6), CASE n % 4 WHEN 0 THEN 200 WHEN 1 THEN 204 WHEN 2 THEN 404 ELSE 500 END,
       'customer ' || (n % 50)
FROM n

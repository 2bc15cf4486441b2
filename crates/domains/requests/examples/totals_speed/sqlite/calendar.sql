-- All days are rolled up; the older ones are pruned.
WITH RECURSIVE d (d) AS (SELECT {first} UNION ALL SELECT d + 1 FROM d WHERE d < {last})
INSERT INTO tally_request_calendar SELECT d, 1, CASE WHEN d < {kept} THEN 1 END FROM d

-- All days are rolled up; the older ones are pruned.
INSERT INTO tally_request_calendar
SELECT DATE '1970-01-01' + d, now(), CASE WHEN d < {kept} THEN now() END
FROM generate_series({first}, {last}) AS d

-- The first rolled-up days before one that still have quarters, with the number of their rows.
SELECT (c.day - DATE '1970-01-01')::INT4,
       (SELECT count(*) FROM tally_request_days AS d WHERE d.day = c.day)
FROM tally_request_calendar AS c
WHERE c.rolled_up_at IS NOT NULL AND c.pruned_at IS NULL AND c.day < DATE '1970-01-01' + $1::INT4
ORDER BY c.day
LIMIT $2::INT8

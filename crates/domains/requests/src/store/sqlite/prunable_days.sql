-- The first rolled-up days before one that still have quarters, with the number of their rows.
SELECT c.day, (SELECT count(*) FROM tally_request_days AS d WHERE d.day = c.day)
FROM tally_request_calendar AS c
WHERE c.rolled_up_at IS NOT NULL AND c.pruned_at IS NULL AND c.day < ?1
ORDER BY c.day LIMIT 1000

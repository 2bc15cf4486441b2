-- The first days of the range that are not rolled up, with the number of their rows: the partial index
-- of the calendar, and a range of the days' key for each.
SELECT c.day, (SELECT count(*) FROM tally_request_days AS d WHERE d.day = c.day)
FROM tally_request_calendar AS c
WHERE c.rolled_up_at IS NULL AND c.day BETWEEN ?1 AND ?2
ORDER BY c.day LIMIT ?3

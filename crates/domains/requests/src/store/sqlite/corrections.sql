-- An index on the day. Without the live totals, those of rolled-up days.
SELECT c.day, c.series_id, sum(c.requests)
FROM tally_request_corrections AS c
JOIN tally_request_calendar AS d ON d.day = c.day
WHERE c.day BETWEEN ?1 AND ?2 AND (?3 OR d.rolled_up_at IS NOT NULL)
GROUP BY c.day, c.series_id

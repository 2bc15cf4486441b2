-- A range scan of the primary key.
SELECT d.day, d.series_id, d.total FROM tally_request_days AS d
JOIN tally_request_calendar AS c ON c.day = d.day
WHERE d.day BETWEEN ?1 AND ?2 AND (c.rolled_up_at IS NOT NULL OR ?3)

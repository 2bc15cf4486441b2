-- The contexts of events that are overdue, the most overdue first.
SELECT DISTINCT context_id FROM (
    SELECT context_id FROM tally_timeline_events WHERE overdue_at <= $1 ORDER BY overdue_at LIMIT $2
) AS o

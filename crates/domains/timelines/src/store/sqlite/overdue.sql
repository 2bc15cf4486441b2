-- Events that are overdue, the most overdue first.
SELECT timeline_id, number FROM tally_timeline_events WHERE overdue_at <= ?1 ORDER BY overdue_at LIMIT ?2

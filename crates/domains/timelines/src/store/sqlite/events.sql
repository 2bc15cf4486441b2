-- The events of a timeline after a number.
SELECT timeline_id, number, context_id, name, host, span, kind, rank, started_ns, start_received_at,
    start_attributes, ended_ns, end_received_at, end_attributes, status, phases, overdue_at, abandoned_at
FROM tally_timeline_events
WHERE timeline_id = ?1 AND number > ?2
ORDER BY number
LIMIT ?3

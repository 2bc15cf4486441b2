-- What a timeline has of a name and host.
SELECT timeline_id, number, context_id, name, host, span, kind, rank, started_ns, start_received_at,
    start_attributes, ended_ns, end_received_at, end_attributes, status, phases, overdue_at, abandoned_at
FROM tally_timeline_events
WHERE timeline_id = ?1 AND name = ?2 AND host = ?3 AND span = ?4 AND kind = 0

-- A timeline by its label.
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE context_id = ?1 AND label = ?2

-- Timelines by their ids.
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE id = ANY($1::UUID[])

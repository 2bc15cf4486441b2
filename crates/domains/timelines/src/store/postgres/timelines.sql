-- The latest timelines of a context before a number, the last first.
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE context_id = $1 AND number < $2
ORDER BY number DESC
LIMIT $3

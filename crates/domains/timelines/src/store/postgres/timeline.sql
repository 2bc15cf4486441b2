-- A timeline by its number, its id or its label: in this order, if several have it.
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE context_id = $1 AND (number = $2 OR id = $3 OR label = $4)
ORDER BY number <> coalesce($2, 0), id <> coalesce($3, context_id)
LIMIT 1

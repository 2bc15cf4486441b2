-- The latest timelines of each of these contexts, the last first.
SELECT
    t.id, t.context_id, t.number, t.label, t.begun_at, t.heard_at, t.expires_at, t.first_ns, t.last_ns, t.events,
    t.open_events, t.abandoned_events, t.failed_events
FROM unnest($1::UUID[]) AS c (id)
CROSS JOIN LATERAL (
    SELECT l.*
    FROM tally_timelines AS l
    WHERE l.context_id = c.id
    ORDER BY l.number DESC
    LIMIT $2
) AS t

-- Contexts of a namespace in order of their names, each with its newest timeline, if it is kept.
SELECT
    c.id, c.namespace_id, c.name, c.created_at, c.timelines, c.retention_days, c.abandon_after,
    t.id, t.context_id, t.number, t.label, t.begun_at, t.heard_at, t.expires_at, t.first_ns, t.last_ns, t.events,
    t.open_events, t.abandoned_events, t.failed_events
FROM tally_timeline_contexts AS c
LEFT JOIN tally_timelines AS t ON t.context_id = c.id AND t.number = c.timelines
WHERE c.namespace_id = ?1 AND c.name > ?2
ORDER BY c.name
LIMIT ?3

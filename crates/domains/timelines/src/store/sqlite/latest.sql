-- Contexts of a namespace, the one that was heard of last first, each with its newest timeline, if it is kept. All of
-- the namespace are read: there are no more than the server allows, and what was heard of last changes with each message.
SELECT
    c.id, c.namespace_id, c.name, c.created_at, c.timelines, c.retention_days, c.abandon_after,
    t.id, t.context_id, t.number, t.label, t.begun_at, t.heard_at, t.expires_at, t.first_ns, t.last_ns, t.events,
    t.open_events, t.abandoned_events, t.failed_events
FROM tally_timeline_contexts AS c
LEFT JOIN tally_timelines AS t ON t.context_id = c.id AND t.number = c.timelines
WHERE c.namespace_id = ?1
  AND (?2 = '' OR instr(lower(c.name), ?2) > 0)
  AND (?3 IS NULL OR (coalesce(t.heard_at, c.created_at), c.name) < (?3, ?4))
ORDER BY coalesce(t.heard_at, c.created_at) DESC, c.name DESC
LIMIT ?5

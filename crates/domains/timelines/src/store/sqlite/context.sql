-- A context by its name.
SELECT id, namespace_id, name, created_at, timelines, retention_days, abandon_after
FROM tally_timeline_contexts
WHERE namespace_id = ?1 AND name = ?2

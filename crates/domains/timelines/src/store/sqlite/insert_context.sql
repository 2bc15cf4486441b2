-- A new context, unless another server has just made it.
INSERT INTO tally_timeline_contexts (id, namespace_id, name, created_at, timelines)
VALUES (?1, ?2, ?3, ?4, 0)
ON CONFLICT (namespace_id, name) DO NOTHING

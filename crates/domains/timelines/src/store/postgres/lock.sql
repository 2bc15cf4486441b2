-- Locks contexts in the order of their ids, in which every transaction does, and reads them.
SELECT id, namespace_id, name, created_at, timelines, retention_days, abandon_after
FROM tally_timeline_contexts
WHERE (namespace_id, name) IN (SELECT * FROM unnest($1::BIGINT[], $2::TEXT[]))
ORDER BY id
FOR UPDATE

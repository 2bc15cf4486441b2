-- One more, unless there are too many.
INSERT INTO tally_request_rules (id, namespace_id, name, definition, webhook, created_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE (SELECT count(*) FROM tally_request_rules WHERE namespace_id = ?2) < ?7
ON CONFLICT (namespace_id, name) DO NOTHING

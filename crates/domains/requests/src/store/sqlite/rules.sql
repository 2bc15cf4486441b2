-- Those of a namespace, or of all; they are few.
SELECT id, definition, webhook, created_at, firing_since, told_at, events, namespace_id
FROM tally_request_rules
WHERE ?1 IS NULL OR namespace_id = ?1
ORDER BY namespace_id, name

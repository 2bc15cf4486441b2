-- All of them, which are few.
SELECT id, definition, webhook, created_at, firing_since, told_at, events
FROM tally_request_rules
WHERE namespace_id = $1::INT8
ORDER BY name

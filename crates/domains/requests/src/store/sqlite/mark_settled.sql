-- When nothing is left of what it moves.
UPDATE tally_request_changes SET settled_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE seq <= ?1 AND settled_at IS NULL

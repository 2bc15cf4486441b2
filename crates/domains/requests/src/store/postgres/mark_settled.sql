-- When nothing is left of what it moves.
UPDATE tally_request_changes SET settled_at = now() WHERE seq <= $1::INT8 AND settled_at IS NULL

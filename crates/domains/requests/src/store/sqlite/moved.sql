-- A lookup by the key.
SELECT to_id FROM tally_request_moves WHERE from_id = ?1

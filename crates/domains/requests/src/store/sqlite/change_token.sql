-- A lookup by the key.
SELECT token FROM tally_request_changes WHERE seq = ?1

-- A lookup by the key.
SELECT stamp FROM tally_request_changes WHERE seq = ?1

-- The last row by the key.
SELECT seq, token FROM tally_request_changes ORDER BY seq DESC LIMIT 1

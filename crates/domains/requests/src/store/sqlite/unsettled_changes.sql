-- With their ages in seconds; there are few.
SELECT seq, unixepoch() - changed_at / 1000000 FROM tally_request_changes WHERE settled_at IS NULL
ORDER BY seq

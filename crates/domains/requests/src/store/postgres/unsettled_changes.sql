-- With their ages in seconds; there are few.
SELECT seq, extract(epoch FROM now() - changed_at)::INT8 FROM tally_request_changes
WHERE settled_at IS NULL ORDER BY seq

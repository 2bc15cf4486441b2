-- What the series of those moves have become.
SELECT s.id, s.namespace_id, s.service, s.method, s.path, s.status, s.customer
FROM tally_request_series AS s
WHERE s.id IN (SELECT to_id FROM tally_request_moves WHERE change_seq > ?1)

-- Each tray with its state, its size in blocks, and one of those who may still read it.
SELECT t.tray, t.state, pg_relation_size(t.tray::REGCLASS) / current_setting('block_size')::INT8, min(r.reader)
FROM tally_request_trays AS t
LEFT JOIN tally_request_readers AS r ON r.tray = t.tray
GROUP BY t.tray, t.state
ORDER BY t.tray

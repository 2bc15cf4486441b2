-- Nothing happens when it is there.
INSERT INTO tally_endpoints (method, path) VALUES (?1, ?2) ON CONFLICT DO NOTHING

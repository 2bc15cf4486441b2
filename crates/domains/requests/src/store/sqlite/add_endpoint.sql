-- Nothing happens if the endpoint is there already, or if another one has the id.
INSERT INTO tally_request_series (id, method, path) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING

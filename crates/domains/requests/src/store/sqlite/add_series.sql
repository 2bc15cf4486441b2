-- Nothing happens if the series is there already, or if another one has the id.
INSERT INTO tally_request_series (id, namespace_id, service, method, path, status, customer)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING

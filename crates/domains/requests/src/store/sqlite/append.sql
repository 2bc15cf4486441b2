-- The program adds as many pairs of values as there are rows.
INSERT INTO tally_requests (endpoint_id, requested_at) VALUES

-- To see whether a request of this moment could be stored. It is taken back before the transaction ends.
INSERT INTO tally_requests (requested_at, series_id) VALUES (now(), 0)

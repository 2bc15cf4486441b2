-- To see whether a request of this moment could be stored. It is taken back before the transaction ends.
INSERT INTO :tray (series_id, requested_at) VALUES (0, now())

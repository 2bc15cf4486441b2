-- As append.sql, and how many requests each row is: NULL for one.
INSERT OR FAIL INTO :tray (series_id, requested_at, requests) VALUES

-- Into the tray that takes rows now; requests is NULL for one.
COPY :tray (series_id, requested_at, requests) FROM STDIN (FORMAT binary)

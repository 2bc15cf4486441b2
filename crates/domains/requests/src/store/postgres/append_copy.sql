-- Into the tray that takes rows now.
COPY :tray (series_id, requested_at) FROM STDIN (FORMAT binary)

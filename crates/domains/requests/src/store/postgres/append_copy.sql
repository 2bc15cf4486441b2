-- Into the tray that takes rows now. Each is one request.
COPY :tray (series_id, requested_at) FROM STDIN (FORMAT binary)

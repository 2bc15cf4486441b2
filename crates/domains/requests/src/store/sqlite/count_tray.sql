-- Every row, in one scan, up to one that the caller names.
SELECT rowid, series_id, requested_at, requests FROM :tray ORDER BY rowid

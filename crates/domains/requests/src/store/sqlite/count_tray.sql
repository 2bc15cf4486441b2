-- Every row, in one scan; the caller may stop early.
SELECT rowid, series_id, requested_at, requests FROM :tray ORDER BY rowid

-- About how many rows a tray has: the number of the last one. Rows are only added, and go together.
SELECT coalesce(max(rowid), 0) FROM :tray

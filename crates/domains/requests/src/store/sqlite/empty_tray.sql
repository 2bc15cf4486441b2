-- Without WHERE, SQLite drops the pages instead of visiting the rows.
DELETE FROM :tray

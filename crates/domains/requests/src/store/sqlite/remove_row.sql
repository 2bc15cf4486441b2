-- For a row that was only stored to see whether it can be.
DELETE FROM :tray WHERE rowid = ?1

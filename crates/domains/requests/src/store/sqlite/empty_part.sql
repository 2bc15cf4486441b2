-- The rows that were counted, of a tray that has more.
DELETE FROM :tray WHERE rowid <= ?1

-- Stops at the first row that is committed.
SELECT EXISTS (SELECT 1 FROM :tray)

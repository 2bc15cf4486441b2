-- Reads one row at most.
SELECT EXISTS (SELECT 1 FROM :tray)

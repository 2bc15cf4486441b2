-- Waits for the batches that are being stored in this tray, and holds up those that come later, but no
-- query.
LOCK TABLE :tray IN SHARE ROW EXCLUSIVE MODE

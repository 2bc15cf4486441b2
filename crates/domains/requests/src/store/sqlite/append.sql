-- The program adds as many pairs of values as there are rows. Without OR FAIL SQLite would copy each
-- page before it changes it, to undo this statement alone; if it fails, all of the transaction is
-- rolled back.
INSERT OR FAIL INTO :tray (series_id, requested_at) VALUES

-- A random number, drawn when it changes hands; 0 for a server's own insert worker.
ALTER TABLE tally_producers ADD COLUMN IF NOT EXISTS epoch INT8 NOT NULL DEFAULT 0

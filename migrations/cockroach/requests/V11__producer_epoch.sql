-- How often a client has opened it; 0 for a server's own insert worker.
ALTER TABLE tally_producers ADD COLUMN IF NOT EXISTS epoch INT8 NOT NULL DEFAULT 0

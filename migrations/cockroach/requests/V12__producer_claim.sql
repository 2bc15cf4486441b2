-- The number of the process that opened it last.
ALTER TABLE tally_producers ADD COLUMN IF NOT EXISTS claim INT8 NOT NULL DEFAULT 0

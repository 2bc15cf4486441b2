-- What people call a producer.
ALTER TABLE tally_producers ADD COLUMN IF NOT EXISTS name TEXT NOT NULL DEFAULT ''

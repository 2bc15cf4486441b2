-- Moves everything from the write-ahead log into the database's own file, and empties the log.
-- The first column says whether something was in the way.
PRAGMA wal_checkpoint(TRUNCATE)

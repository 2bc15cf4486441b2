-- Moves what no reader needs from the write-ahead log into the database's own file, without waiting
-- for anybody. The columns: whether it could not begin, the pages in the log, and those of them that
-- are moved.
PRAGMA wal_checkpoint(PASSIVE)

-- The position after all current commits.
SELECT pg_current_wal_lsn()::text

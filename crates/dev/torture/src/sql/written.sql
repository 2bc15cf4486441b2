-- Up to where everything is written that is committed now.
SELECT pg_current_wal_lsn()::text

-- What autovacuum does in time.
ANALYZE

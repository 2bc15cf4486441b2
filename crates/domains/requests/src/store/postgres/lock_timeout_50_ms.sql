-- For a lock that can as well be tried for again: the wait for it holds up inserts or queries.
SET LOCAL lock_timeout = '50ms'

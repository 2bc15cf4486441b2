-- Whoever waits for an exclusive lock holds up all who come after it.
SET LOCAL lock_timeout = '1s'

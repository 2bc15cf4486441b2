-- A wait for an exclusive lock holds up everything behind it.
SET LOCAL lock_timeout = '1s'

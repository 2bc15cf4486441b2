-- As for every connection of the pool.
SET LOCAL lock_timeout = '5s'

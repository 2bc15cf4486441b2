-- For the next statement: what writes to a table that nothing uses is a vacuum, or a server after all.
SET LOCAL lock_timeout = '5s'

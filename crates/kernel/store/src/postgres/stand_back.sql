-- While a change of a table waits for its lock, everybody else who needs the table waits behind it. So it
-- waits for a moment, and the migration is tried again: servers that run go on meanwhile.
SET lock_timeout = '3s'

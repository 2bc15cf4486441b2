-- For every connection of the pool. Waiting for a lock ends with an error that says that nothing
-- was stored, before the caller gives up and does not know.
SET lock_timeout = '5s'

-- A migration that hangs must not hang all other servers for ever.
SET lock_timeout = '60s'

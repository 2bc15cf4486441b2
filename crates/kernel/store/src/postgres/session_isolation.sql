-- Not on CockroachDB. Whatever an administrator has set: a statement that waited for a lock must see what
-- was committed before it got the lock.
SET default_transaction_isolation = 'read committed'

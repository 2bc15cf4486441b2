-- The transaction that locks a key has had its time: what is left is to find out which key it is.
SET LOCAL lock_timeout = '2ms'

-- Promotes a standby and waits until it is the primary.
SELECT pg_promote(true, 60)

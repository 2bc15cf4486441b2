-- A standby becomes a primary; this waits until it is one.
SELECT pg_promote(true, 60)

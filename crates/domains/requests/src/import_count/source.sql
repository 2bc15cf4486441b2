-- Names the tables by what a standby and a renamed host have in common, and another database, or one
-- that was made again, has not. Days are cut in the session's time zone.
SELECT concat_ws('-', s.system_identifier, d.oid, n.oid), current_setting('TimeZone')
FROM pg_control_system() AS s, pg_database AS d, pg_namespace AS n
WHERE d.datname = current_database() AND n.nspname = 'count'

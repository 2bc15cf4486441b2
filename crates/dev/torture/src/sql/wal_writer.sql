-- The process that writes what is committed when nobody waits for it.
SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'

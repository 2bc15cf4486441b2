-- The tables that bear Tally's name, where tables are made.
SELECT table_name::TEXT FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_schema = current_schema() AND table_name LIKE 'tally\_%'
ORDER BY table_name

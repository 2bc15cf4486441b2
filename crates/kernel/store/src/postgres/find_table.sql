-- Whether a table of this name can be seen.
SELECT count(*) FROM information_schema.tables
WHERE table_name = $1 AND table_schema = ANY (current_schemas(false))

-- Adds up the sizes of the database's files.
SELECT pg_database_size(current_database())

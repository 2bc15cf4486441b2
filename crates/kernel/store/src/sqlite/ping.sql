-- Reads one page of the file.
SELECT count(*) FROM sqlite_schema

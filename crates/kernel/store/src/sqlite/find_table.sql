-- Whether a table of this name exists.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1

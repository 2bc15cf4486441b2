-- Empties a table before it is restored.
DELETE FROM main.:table

-- The tables that bear Tally's name.
SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'tally\_%' ESCAPE '\' ORDER BY name

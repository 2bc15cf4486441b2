-- Tally's tables.
SELECT name FROM main.sqlite_master
WHERE type = 'table' AND name GLOB 'tally_*' ORDER BY name

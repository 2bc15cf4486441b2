-- Tally's tables. Stamps come after the totals, whose triggers remove them.
SELECT name FROM main.sqlite_master
WHERE type = 'table' AND name GLOB 'tally_*' ORDER BY name = 'tally_daily_stamps', name

-- The tables of Tally. Stamps come after the totals, whose triggers remove them.
SELECT name FROM main.sqlite_master
WHERE type = 'table' AND name GLOB 'tally_*' ORDER BY name = 'tally_request_day_stamps', name

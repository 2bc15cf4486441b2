-- The one row of this name, if it was ever noted.
SELECT since FROM tally_watches WHERE name = $1

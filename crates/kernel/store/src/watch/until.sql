-- The one row of this name, if it was ever noted.
SELECT until FROM tally_watches WHERE name = $1

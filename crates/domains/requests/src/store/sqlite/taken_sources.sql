-- There are few, and this is asked once.
SELECT DISTINCT source FROM tally_count_taken ORDER BY source

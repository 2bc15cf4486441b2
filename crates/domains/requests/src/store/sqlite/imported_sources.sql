-- There are few, and this is asked once.
SELECT DISTINCT source FROM tally_imported_counts ORDER BY source

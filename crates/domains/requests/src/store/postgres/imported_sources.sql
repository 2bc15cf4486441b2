-- There are few, and this is asked once.
SELECT DISTINCT source, time_zone FROM tally_request_imports ORDER BY source

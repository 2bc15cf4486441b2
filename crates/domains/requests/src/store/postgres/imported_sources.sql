-- There are few, and this is asked once.
SELECT DISTINCT source, time_zone FROM tally_request_imports
WHERE namespace_id = $1::INT8 ORDER BY source

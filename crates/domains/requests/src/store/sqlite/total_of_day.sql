-- Of a series and of those that have moved to it: lookups by the key.
SELECT total FROM tally_request_days
WHERE day = ?1
  AND (series_id = ?2 OR series_id IN (SELECT from_id FROM tally_request_moves WHERE to_id = ?2))

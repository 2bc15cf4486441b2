-- The first days before one that were rolled up this long ago and still have quarters, with the number of
-- their rows.
SELECT c.day, (SELECT count(*) FROM tally_request_days AS d WHERE d.day = c.day)
FROM tally_request_calendar AS c
WHERE c.rolled_up_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - ?2
  AND c.pruned_at IS NULL AND c.day < ?1
ORDER BY c.day LIMIT ?3

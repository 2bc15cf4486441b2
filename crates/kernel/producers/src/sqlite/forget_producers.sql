-- ?2 is a number of days. One that has stored nothing may begin again. The statements after this
-- one add up the days of workers.
DELETE FROM tally_producers
WHERE domain = ?1
  AND (last_seen < (unixepoch() - ?2 * 86400) * 1000000
       OR (sequence = 0 AND epoch > 0 AND last_seen < (unixepoch() - 3600) * 1000000))
RETURNING id, epoch = 0, accepted

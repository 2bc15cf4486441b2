-- ?1 is a number of days. One that has stored nothing is not missed: its client may begin again.
-- What the days of the others say is kept by the statements after it.
DELETE FROM tally_producers
WHERE last_seen < (unixepoch() - ?1 * 86400) * 1000000
   OR (sequence = 0 AND epoch > 0 AND last_seen < (unixepoch() - 3600) * 1000000)
RETURNING id

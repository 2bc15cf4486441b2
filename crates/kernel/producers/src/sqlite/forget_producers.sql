-- ?2 is a number of days. One that has stored nothing may begin again, unless it is shared. A
-- checkpoint is what keeps its client from counting twice, so it stays for 400 days at least;
-- and who numbers what domains count for each other stays. The statements after this one add up the days
-- of workers.
DELETE FROM tally_producers
WHERE domain = ?1
  AND id NOT IN (SELECT producer_id FROM tally_outbox_counter)
  AND (last_seen < (unixepoch() - iif(checkpoint IS NULL, ?2, max(?2, 400)) * 86400) * 1000000
       OR (sequence = 0 AND epoch > 0 AND NOT is_shared AND last_seen < (unixepoch() - 3600) * 1000000))
RETURNING id, epoch = 0, accepted

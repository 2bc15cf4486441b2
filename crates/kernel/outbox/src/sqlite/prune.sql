-- Some of the events that were done long ago.
DELETE FROM tally_outbox
WHERE id IN (SELECT id FROM tally_outbox WHERE done_at < ?1 ORDER BY done_at LIMIT ?2)

-- In the transaction that empties the tray, whose lock keeps others from doing so: if nobody's snapshot is
-- older than the mark that this one sees.
UPDATE tally_request_trays SET state = 'open'
WHERE tray = $1 AND state = 'folded'
  AND NOT EXISTS (SELECT 1 FROM tally_request_readers WHERE tray = $1)

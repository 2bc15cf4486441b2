-- If another one takes rows. Nobody else closes one meanwhile.
UPDATE tally_request_trays SET state = 'closed'
WHERE tray = $1 AND state = 'open'
  AND EXISTS (SELECT 1 FROM tally_request_trays WHERE tray <> $1 AND state = 'open')

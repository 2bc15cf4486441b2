-- One lookup by the key.
SELECT state FROM tally_request_trays WHERE tray = $1

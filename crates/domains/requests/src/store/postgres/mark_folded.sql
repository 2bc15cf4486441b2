-- In the transaction that adds the rows to the days: from then on they count there.
UPDATE tally_request_trays SET state = 'folded' WHERE tray = $1

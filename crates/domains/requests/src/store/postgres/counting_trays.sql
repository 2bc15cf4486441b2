-- The trays whose rows count in this snapshot.
SELECT tray FROM tally_request_trays WHERE state <> 'folded' ORDER BY tray

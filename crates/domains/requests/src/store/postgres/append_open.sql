-- The condition under which producers move. The statement's snapshot is taken after the lock on its tray,
-- and while it has that lock the tray is not closed.
(SELECT state = 'open' FROM tally_request_trays WHERE tray = ':tray')

-- For a fold that can as well be tried again a second later: its wait for a tray would hold up inserts.
SET LOCAL lock_timeout = '100ms'

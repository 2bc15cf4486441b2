-- Taken back at once: to empty a tray, one has to wait for the queries that read it. If they do not end,
-- its rows need not be counted, which takes long and holds up inserts.
LOCK TABLE ONLY :tray IN ACCESS EXCLUSIVE MODE

-- To empty a tray, one has to wait for the queries that read it. If they do not end, rows need not be
-- counted, which takes long and holds up inserts. It is taken back at once, and lets later queries in.
LOCK TABLE ONLY :tray IN ACCESS EXCLUSIVE MODE

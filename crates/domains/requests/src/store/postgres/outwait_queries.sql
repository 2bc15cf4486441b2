-- To empty a tray, one has to wait for the queries that read it. If they do not end, rows need not be
-- counted, which takes long and holds up inserts. Later queries are let in again.
SAVEPOINT before_lock;
LOCK TABLE ONLY :tray IN ACCESS EXCLUSIVE MODE;
ROLLBACK TO SAVEPOINT before_lock

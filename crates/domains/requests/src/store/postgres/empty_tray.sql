-- At once, however many rows. It waits for queries that read this tray, which no snapshot protects from
-- it: a live query locks the trays before it takes its snapshot.
TRUNCATE TABLE ONLY :tray

-- A table as it was when the backup was made.
DELETE FROM main.:table;
INSERT INTO main.:table SELECT * FROM backup.:table;

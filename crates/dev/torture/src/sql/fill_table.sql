-- Restores a table from the backup.
INSERT INTO main.:table SELECT * FROM backup.:table

-- And what was in it when the backup was made comes back.
INSERT INTO main.:table SELECT * FROM backup.:table

-- A table is restored from a backup: what is in it goes.
DELETE FROM main.:table

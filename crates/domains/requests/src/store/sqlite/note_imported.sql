-- In the transaction that imports them.
INSERT INTO tally_imported_counts (source, time_zone, day, method_id, imported)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (source, day, method_id) DO UPDATE SET imported = imported + excluded.imported

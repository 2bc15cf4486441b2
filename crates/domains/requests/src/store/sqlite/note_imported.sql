-- In the transaction that imports them.
INSERT INTO tally_request_imports (source, time_zone, day, method, imported)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (source, day, method) DO UPDATE SET imported = imported + excluded.imported

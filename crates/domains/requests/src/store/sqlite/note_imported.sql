-- In the transaction that imports them.
INSERT INTO tally_request_imports (namespace_id, source, time_zone, day, method, imported)
VALUES (?6, ?1, ?2, ?3, ?4, ?5)
ON CONFLICT (namespace_id, source, day, method) DO UPDATE SET imported = imported + excluded.imported

-- In the transaction that imports them.
INSERT INTO tally_imported_counts AS t (source, time_zone, day, method_id, imported)
SELECT $1, $2, DATE '1970-01-01' + w.day, w.method_id, w.imported
FROM unnest($3::INT4[], $4::INT8[], $5::INT8[]) AS w (day, method_id, imported)
ON CONFLICT (source, day, method_id) DO UPDATE SET imported = t.imported + excluded.imported

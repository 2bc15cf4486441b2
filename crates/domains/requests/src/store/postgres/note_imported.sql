-- In the transaction that imports them.
INSERT INTO tally_imported_counts AS t (source, day, method_id, imported)
SELECT $1, DATE '1970-01-01' + w.day, w.method_id, w.imported
FROM unnest($2::INT4[], $3::INT8[], $4::INT8[]) AS w (day, method_id, imported)
ON CONFLICT (source, day, method_id) DO UPDATE SET imported = t.imported + excluded.imported

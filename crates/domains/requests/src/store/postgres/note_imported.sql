-- In the transaction that imports them.
INSERT INTO tally_request_imports AS t (namespace_id, source, time_zone, day, method, imported)
SELECT $6::INT8, $1, $2, DATE '1970-01-01' + w.day, w.method, w.imported
FROM unnest($3::INT4[], $4::INT8[], $5::INT8[]) AS w (day, method, imported)
ON CONFLICT (namespace_id, source, day, method) DO UPDATE SET imported = t.imported + excluded.imported

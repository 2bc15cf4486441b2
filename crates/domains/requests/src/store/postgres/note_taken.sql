-- In the transaction that takes them.
INSERT INTO tally_count_taken AS t (source, day, method_id, taken)
SELECT $1, DATE '1970-01-01' + w.day, w.method_id, w.taken
FROM unnest($2::INT4[], $3::INT8[], $4::INT8[]) AS w (day, method_id, taken)
ON CONFLICT (source, day, method_id) DO UPDATE SET taken = t.taken + excluded.taken

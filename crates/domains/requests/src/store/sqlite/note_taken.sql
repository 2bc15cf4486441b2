-- In the transaction that takes them.
INSERT INTO tally_count_taken (source, day, method_id, taken) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (source, day, method_id) DO UPDATE SET taken = taken + excluded.taken

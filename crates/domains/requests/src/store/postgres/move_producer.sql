-- The producer moves from the number before this one, or begins with 1; otherwise no row is
-- touched. The row's lock makes a second server with the same batch wait for the first.
INSERT INTO tally_producers AS p (id, sequence)
SELECT $1::UUID, $2::INT8
WHERE $2::INT8 = 1 OR EXISTS (SELECT 1 FROM tally_producers WHERE id = $1::UUID)
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, last_seen = now()
WHERE p.sequence = excluded.sequence - 1

-- A series that has moved before, and whose name has come back, moves again.
INSERT INTO tally_request_moves (from_id, to_id, change_seq)
SELECT w.from_id, w.to_id, $3::INT8 FROM unnest($1::INT8[], $2::INT8[]) AS w (from_id, to_id)
ON CONFLICT (from_id) DO UPDATE SET to_id = excluded.to_id, change_seq = excluded.change_seq

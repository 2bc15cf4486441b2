-- A series that has moved before, and whose name has come back, moves again.
INSERT INTO tally_request_moves (from_id, to_id, change_seq) VALUES (?1, ?2, ?3)
ON CONFLICT (from_id) DO UPDATE SET to_id = excluded.to_id, change_seq = excluded.change_seq

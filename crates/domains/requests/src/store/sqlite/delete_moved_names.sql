-- Names that came back after their series had moved, by programs that know nothing of it.
DELETE FROM tally_request_series WHERE id IN (SELECT from_id FROM tally_request_moves)

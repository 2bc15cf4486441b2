-- The series that have moved, and where.
SELECT from_id, to_id FROM tally_request_moves

-- An index on the change.
SELECT from_id, to_id FROM tally_request_moves WHERE change_seq > $1::INT8

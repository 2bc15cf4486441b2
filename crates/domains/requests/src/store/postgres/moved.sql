-- A lookup by the key for each.
SELECT from_id, to_id FROM tally_request_moves WHERE from_id = ANY ($1::INT8[])

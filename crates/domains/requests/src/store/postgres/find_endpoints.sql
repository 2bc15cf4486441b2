-- One lookup in the primary key for each endpoint of an answer.
SELECT id, method, path FROM tally_request_series WHERE id = ANY ($1::INT8[])

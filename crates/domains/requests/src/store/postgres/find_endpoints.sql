-- One lookup in the primary key for each endpoint of an answer.
SELECT id, method, path FROM tally_endpoints WHERE id = ANY ($1::INT8[])

-- The names are gone; what is counted is not.
DELETE FROM tally_request_series WHERE id = ANY ($1::INT8[])

-- Somebody deletes names of the dictionary by hand.
DELETE FROM tally_endpoints WHERE id % :every = 0 RETURNING id, method, path

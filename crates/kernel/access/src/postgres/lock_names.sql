-- Who adds a key waits for whoever else does: READ COMMITTED shows neither the key of the other one, so that
-- both would find their name free. This row is always there.
SELECT id FROM tally_namespaces WHERE id = 0 FOR UPDATE

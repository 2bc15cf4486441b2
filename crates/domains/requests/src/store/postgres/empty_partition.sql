-- At once, however many rows; unlike DROP it needs no lock on the parent, which would hold up
-- the inserts of all days while this one is counted.
TRUNCATE TABLE :partition

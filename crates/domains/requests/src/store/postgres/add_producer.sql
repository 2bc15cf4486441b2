-- Another server may be faster: then no row is added, and the caller looks again.
INSERT INTO tally_producers (id, sequence, epoch, claim, name) VALUES ($1, 0, $2, $3, $4)
ON CONFLICT (id) DO NOTHING

-- If another server is faster, this adds no row, and the caller looks again.
INSERT INTO tally_producers (id, domain, sequence, epoch, claim, name)
VALUES ($1, $2, 0, $3, $4, $5)
ON CONFLICT (id) DO NOTHING

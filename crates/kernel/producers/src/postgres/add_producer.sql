-- If another server is faster, this adds no row, and the caller looks again.
INSERT INTO tally_producers (id, domain, namespace_id, sequence, epoch, claim, name, is_shared)
VALUES ($1, $2, $3, 0, $4, $5, $6, $7)
ON CONFLICT (id, namespace_id) DO NOTHING
RETURNING last_seen

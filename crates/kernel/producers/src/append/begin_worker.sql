-- Before a worker's first batch, so that every batch moves rows that are there.
INSERT INTO tally_producers (id, domain, sequence) VALUES ($1, $2, 0) ON CONFLICT (id, namespace_id) DO NOTHING

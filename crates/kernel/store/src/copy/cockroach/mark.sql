-- A copy that is not complete, under a lease that nobody takes over.
INSERT INTO tally_leases (name, holder, until) VALUES ($1::TEXT, gen_random_uuid(), now())

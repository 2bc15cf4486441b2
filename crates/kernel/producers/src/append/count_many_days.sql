-- The days of a batch that has many, of one namespace. They wait in one row until they are added up.
INSERT INTO tally_producer_batches
    (worker_id, sequence, domain, namespace_id, days, accepted, dropped)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- In the transaction of a worker's first batch.
INSERT INTO tally_producers (id, domain, sequence, last_seen)
VALUES (?1, ?2, 0, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
ON CONFLICT (id, namespace_id) DO NOTHING

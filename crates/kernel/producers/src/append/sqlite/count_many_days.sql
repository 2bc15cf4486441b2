-- A day of a batch that has many. They wait here until they are added up.
INSERT INTO tally_producer_batches (day, domain, namespace_id, accepted, dropped)
VALUES (?1, ?2, ?3, ?4, ?5)

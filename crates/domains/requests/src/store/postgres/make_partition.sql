-- A table of its own first: see attach_partition.sql.
CREATE TABLE :partition (LIKE tally_requests)

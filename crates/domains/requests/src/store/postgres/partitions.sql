-- The names of the row table's partitions.
SELECT c.relname::TEXT
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'tally_requests'::REGCLASS

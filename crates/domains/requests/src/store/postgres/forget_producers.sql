-- A few rows for each start of a server: a scan is cheaper than an index that every batch
-- would have to keep up.
DELETE FROM tally_producers WHERE last_seen < now() - $1::FLOAT8 * INTERVAL '1 day'

-- Unlike CREATE TABLE … PARTITION OF this does not stop the inserts of all days while Postgres
-- reads the default partition, to see that it has no rows of that day; if it has, this fails,
-- harmlessly.
ALTER TABLE tally_requests ATTACH PARTITION :partition
FOR VALUES FROM (':from 00:00:00+00') TO (':to 00:00:00+00')

-- Fails, harmlessly, when the default partition has rows of that day already.
CREATE TABLE IF NOT EXISTS :partition PARTITION OF tally_requests
FOR VALUES FROM (':from 00:00:00+00') TO (':to 00:00:00+00')

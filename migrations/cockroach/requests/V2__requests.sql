-- One row for each request. The key is led by a hash of the day, the series and a random number, so
-- that the inserts of one moment go to several ranges; within a bucket the days lie together, so that
-- a roll-up reads only its own.
CREATE TABLE IF NOT EXISTS tally_requests (
    day DATE NOT NULL,
    series_id INT8 NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    requests INT8,
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (day, series_id, id) USING HASH WITH (bucket_count = 8)
)

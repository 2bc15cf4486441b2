-- Rows: requests of a series at a time; requests is NULL for one. The key is led by a hash, so that the
-- inserts of one moment go to several ranges, and then by the time, so that a fold reads only its own.
CREATE TABLE IF NOT EXISTS tally_requests (
    requested_at TIMESTAMPTZ NOT NULL,
    series_id INT8 NOT NULL,
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    requests INT8,
    PRIMARY KEY (requested_at, series_id, id) USING HASH WITH (bucket_count = 8)
)

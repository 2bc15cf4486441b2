-- What is counted: a method (a number of count.v1.Method) and a path. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of the two, so that it never means
-- anything else. Paths are ordered by their bytes, as everywhere in Tally.
CREATE TABLE tally_endpoints (
    id BIGINT PRIMARY KEY,
    method BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    UNIQUE (method, path)
);

-- One row for each request. It has no key, no foreign key and no index: each of them would
-- make inserts several times slower. A UTC day has a partition of its own, made ahead, which
-- the roll-up empties at once and then drops.
CREATE TABLE tally_requests (
    endpoint_id BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL
) PARTITION BY RANGE (requested_at);

-- Takes every request whose day has no partition: late ones, and imported history.
CREATE TABLE tally_requests_default PARTITION OF tally_requests DEFAULT;

-- How many requests an endpoint had on one UTC day, as far as it is rolled up.
CREATE TABLE tally_daily_totals (
    day DATE NOT NULL,
    endpoint_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (day, endpoint_id)
);

-- Who stores batches, and the number of the last batch that each has stored. A batch moves
-- its producer's number in its own transaction, so that it is never stored twice.
CREATE TABLE tally_producers (
    id UUID PRIMARY KEY,
    sequence BIGINT NOT NULL,
    last_seen TIMESTAMPTZ NOT NULL DEFAULT now()
);

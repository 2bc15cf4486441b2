-- What rows refer to: a method (a number of count.v1.Method) and a path. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of the two, so that it never means
-- anything else. Paths are ordered by their bytes, as everywhere in Tally.
CREATE TABLE tally_request_series (
    id BIGINT PRIMARY KEY,
    method BIGINT NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    UNIQUE (method, path)
);

-- One row for each request. It has no key, no foreign key and no index, because each of them would
-- make inserts several times slower. A UTC day has a partition of its own, made ahead, which the
-- roll-up empties in one step and then drops.
CREATE TABLE tally_requests (
    series_id BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL
) PARTITION BY RANGE (requested_at);

-- Takes every request whose day has no partition: late ones, and imported history.
CREATE TABLE tally_requests_default PARTITION OF tally_requests DEFAULT;

-- How many requests a series had on one UTC day, as far as the day is rolled up.
CREATE TABLE tally_request_days (
    day DATE NOT NULL,
    series_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (day, series_id)
);

-- How many requests of one of its days and methods were imported from a Go server of count.v1. The
-- transaction that imports them writes this, so that none is imported twice.
CREATE TABLE tally_request_imports (
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day DATE NOT NULL,
    method BIGINT NOT NULL,
    imported BIGINT NOT NULL,
    PRIMARY KEY (source, day, method)
);

-- Files that were counted as a whole, by fingerprints of their content. An import asks for a file
-- before it counts it again. The transaction that forgets the import's producer writes this.
CREATE TABLE tally_request_files (
    fingerprint BYTEA PRIMARY KEY,
    name TEXT NOT NULL,
    reading BYTEA NOT NULL,
    requests BIGINT NOT NULL,
    malformed BIGINT NOT NULL,
    counted_at TIMESTAMPTZ NOT NULL
);

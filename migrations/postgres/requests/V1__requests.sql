-- What rows refer to: who served a request with what result, and for whom. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of all the rest, so that it never means
-- anything else. Texts are ordered by their bytes, as everywhere in Tally.
CREATE TABLE tally_request_series (
    id BIGINT PRIMARY KEY,
    namespace_id BIGINT NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    path TEXT COLLATE "C" NOT NULL,
    status BIGINT NOT NULL,
    customer TEXT COLLATE "C" NOT NULL,
    UNIQUE (namespace_id, service, method, path, status, customer)
);

-- One row for each request. It has no key, no foreign key and no index, because each of them would
-- make inserts several times slower. A UTC day has a partition of its own, made ahead, which the
-- roll-up empties in one step and then drops.
CREATE TABLE tally_requests (
    series_id BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    requests BIGINT
) PARTITION BY RANGE (requested_at);

-- Takes every request whose day has no partition: late ones, and imported history.
CREATE TABLE tally_requests_default PARTITION OF tally_requests DEFAULT;

-- How many requests a series had on one UTC day, as far as its rows are folded, and in which quarters
-- of the day: a JSON array of the first quarter's index, from 0, and the counts from it on.
CREATE TABLE tally_request_days (
    day DATE NOT NULL,
    series_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    quarters TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (day, series_id)
);

-- How many requests a series had in a month, which is named by its first day, as far as the days are
-- rolled up; and on which days, in the same form as the quarters of a day.
CREATE TABLE tally_request_months (
    month DATE NOT NULL,
    series_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    days TEXT NOT NULL,
    PRIMARY KEY (month, series_id)
);

-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there.
CREATE TABLE tally_request_calendar (
    day DATE PRIMARY KEY,
    rolled_up_at TIMESTAMPTZ,
    pruned_at TIMESTAMPTZ
);

-- For the days that still have to be rolled up, and those whose quarters are gone.
CREATE INDEX tally_request_calendar_open ON tally_request_calendar (day) WHERE rolled_up_at IS NULL;
CREATE INDEX tally_request_calendar_pruned ON tally_request_calendar (day) WHERE pruned_at IS NOT NULL;

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

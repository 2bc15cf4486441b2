-- What rows refer to: who served a request with what result, and for whom. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of all the rest, so that it never means
-- anything else.
CREATE TABLE tally_request_series (
    id INTEGER PRIMARY KEY,
    namespace_id INTEGER NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL,
    customer TEXT NOT NULL,
    UNIQUE (namespace_id, service, method, path, status, customer)
) STRICT;

-- One row for each request; requested_at counts microseconds since 1970-01-01 UTC. It has no key
-- but SQLite's own, and no index, which would make inserts several times slower.
CREATE TABLE tally_requests (
    series_id INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    requests INTEGER
) STRICT;

-- How many requests a series had on one UTC day, as far as its rows are folded, and in which quarters
-- of the day: a JSON array of the first quarter's index, from 0, and the counts from it on.
CREATE TABLE tally_request_days (
    day INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    quarters TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (day, series_id)
) STRICT, WITHOUT ROWID;

-- How many requests a series had in a month, which is named by its first day, as far as the days are
-- rolled up; and on which days, in the same form as the quarters of a day.
CREATE TABLE tally_request_months (
    month INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    days TEXT NOT NULL,
    PRIMARY KEY (month, series_id)
) STRICT, WITHOUT ROWID;

-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there.
CREATE TABLE tally_request_calendar (
    day INTEGER PRIMARY KEY,
    rolled_up_at INTEGER,
    pruned_at INTEGER
) STRICT, WITHOUT ROWID;

-- For the days that still have to be rolled up, and those whose quarters are gone.
CREATE INDEX tally_request_calendar_open ON tally_request_calendar (day) WHERE rolled_up_at IS NULL;
CREATE INDEX tally_request_calendar_pruned ON tally_request_calendar (day) WHERE pruned_at IS NOT NULL;

-- How many requests of one of its days and methods were imported from a Go server of count.v1. The
-- transaction that imports them writes this, so that none is imported twice. day counts days since
-- 1970-01-01.
CREATE TABLE tally_request_imports (
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day INTEGER NOT NULL,
    method INTEGER NOT NULL,
    imported INTEGER NOT NULL,
    PRIMARY KEY (source, day, method)
) STRICT, WITHOUT ROWID;

-- Files that were counted as a whole, by fingerprints of their content. An import asks for a file
-- before it counts it again. The transaction that forgets the import's producer writes this.
-- counted_at counts microseconds since 1970-01-01 UTC.
CREATE TABLE tally_request_files (
    fingerprint BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    reading BLOB NOT NULL,
    requests INTEGER NOT NULL,
    malformed INTEGER NOT NULL,
    counted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What rows refer to: a method (a number of count.v1.Method) and a path. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of the two, so that it never means
-- anything else.
CREATE TABLE tally_request_series (
    id INTEGER PRIMARY KEY,
    method INTEGER NOT NULL,
    path TEXT NOT NULL,
    UNIQUE (method, path)
) STRICT;

-- One row for each request; requested_at counts microseconds since 1970-01-01 UTC. It has no key
-- but SQLite's own, and no index, which would make inserts several times slower.
CREATE TABLE tally_requests (
    series_id INTEGER NOT NULL,
    requested_at INTEGER NOT NULL
) STRICT;

-- How many requests a series had on one UTC day, as far as the day is rolled up; day counts days
-- since 1970-01-01.
CREATE TABLE tally_request_days (
    day INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (day, series_id)
) STRICT, WITHOUT ROWID;

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

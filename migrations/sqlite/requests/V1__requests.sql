-- What is counted: a method (a number of count.v1.Method) and a path. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of the two, so that it never means
-- anything else.
CREATE TABLE tally_endpoints (
    id INTEGER PRIMARY KEY,
    method INTEGER NOT NULL,
    path TEXT NOT NULL,
    UNIQUE (method, path)
) STRICT;

-- One row for each request; requested_at counts microseconds since 1970-01-01 UTC. No key
-- but SQLite's own, and no index: it would make inserts several times slower.
CREATE TABLE tally_requests (
    endpoint_id INTEGER NOT NULL,
    requested_at INTEGER NOT NULL
) STRICT;

-- How many requests an endpoint had on one UTC day, as far as it is rolled up; day counts
-- days since 1970-01-01.
CREATE TABLE tally_daily_totals (
    day INTEGER NOT NULL,
    endpoint_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (day, endpoint_id)
) STRICT, WITHOUT ROWID;

-- Who stores batches, and the number of the last batch that each has stored. A batch moves
-- its producer's number in its own transaction, so that it is never stored twice.
-- last_seen counts microseconds since 1970-01-01 UTC.
CREATE TABLE tally_producers (
    id BLOB NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

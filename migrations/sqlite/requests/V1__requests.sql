-- What rows refer to: everything that requests are told apart by. Stored once, in the transaction of
-- the first rows that need it. The id is a hash of all the rest, so that it never means anything else.
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

-- Rows: requests of a series at a time, in microseconds since 1970-01-01 UTC; requests is NULL for one.
-- They lie in two trays: while one is filled, the other is folded into days and emptied. These have no
-- key but SQLite's own, and no index, which would make inserts several times slower.
CREATE TABLE tally_requests_0 (
    series_id INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    requests INTEGER
) STRICT;
CREATE TABLE tally_requests_1 (
    series_id INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    requests INTEGER
) STRICT;

-- Both of them.
CREATE VIEW tally_requests (series_id, requested_at, requests) AS
SELECT series_id, requested_at, requests FROM tally_requests_0
UNION ALL
SELECT series_id, requested_at, requests FROM tally_requests_1;

-- How many requests a series had on one UTC day, as far as its rows are folded, and in which quarters
-- of the day: a JSON array of the first quarter's index, from 0, and the counts from it on.
CREATE TABLE tally_request_days (
    day INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    quarters TEXT NOT NULL,
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

-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there. The
-- stamp is a random number, drawn anew by each transaction that changes rows of tally_request_days: with
-- the same one, a day that is not pruned has the same rows.
CREATE TABLE tally_request_calendar (
    day INTEGER PRIMARY KEY,
    rolled_up_at INTEGER,
    pruned_at INTEGER,
    stamp BLOB NOT NULL DEFAULT (randomblob(16))
) STRICT, WITHOUT ROWID;

-- For the days that still have to be rolled up, and those whose quarters are gone.
CREATE INDEX tally_request_calendar_open ON tally_request_calendar (day) WHERE rolled_up_at IS NULL;
CREATE INDEX tally_request_calendar_pruned ON tally_request_calendar (day) WHERE pruned_at IS NOT NULL;

-- How many requests of one of its days and methods were imported from a Go server of count.v1. The
-- transaction that imports them writes this, so that none is imported twice. day counts days since
-- 1970-01-01.
CREATE TABLE tally_request_imports (
    namespace_id INTEGER NOT NULL,
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day INTEGER NOT NULL,
    method INTEGER NOT NULL,
    imported INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, source, day, method)
) STRICT, WITHOUT ROWID;

-- Merges and forgets, in their order: who, when, and how many requests of how many series they were about
-- at that time. They say as well what becomes of series that come later: what a series must have (its
-- service, path and customer: NULL if anything will do), and what it gets instead. Of a forget nothing
-- but a keyed hash is stored. Until it is settled, days and months may have totals of series that have
-- moved.
CREATE TABLE tally_request_changes (
    seq INTEGER PRIMARY KEY,
    token INTEGER NOT NULL,
    namespace_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    selected TEXT NOT NULL,
    author TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    series INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    service TEXT,
    path TEXT,
    customer TEXT,
    into_service TEXT,
    into_path TEXT,
    into_customer TEXT,
    hash_key TEXT,
    settled_at INTEGER
) STRICT;

-- Series that have moved: what still comes under the one id counts under the other. No to_id is a from_id.
CREATE TABLE tally_request_moves (
    from_id INTEGER PRIMARY KEY,
    to_id INTEGER NOT NULL,
    change_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tally_request_moves_to ON tally_request_moves (to_id);
CREATE INDEX tally_request_moves_change ON tally_request_moves (change_seq);

-- What people add to the total of a day and a series, or take from it, and why. No total has it in it.
CREATE TABLE tally_request_corrections (
    id BLOB NOT NULL,
    namespace_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    corrected_at INTEGER NOT NULL,
    PRIMARY KEY (id, namespace_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tally_request_corrections_day ON tally_request_corrections (day, series_id);
CREATE INDEX tally_request_corrections_series ON tally_request_corrections (series_id);

-- The live totals of all days, for people and other programs; one statement is one snapshot of them.
CREATE VIEW tally_totals_by_day AS
SELECT date(t.day * 86400, 'unixepoch') AS day,
       coalesce(n.name, '_unknown') AS namespace,
       coalesce(s.service, '') AS service,
       coalesce(s.method, '') AS method,
       coalesce(s.path, '_unknown') AS path,
       coalesce(s.status, 0) AS status,
       coalesce(s.customer, '') AS customer,
       sum(t.total) AS total
FROM (
    SELECT d.day, d.series_id, d.total
    FROM tally_request_calendar AS c
    JOIN tally_request_days AS d ON d.day = c.day
    WHERE c.pruned_at IS NULL
    UNION ALL
    -- Of a pruned day only its month knows: the number behind the first slot's.
    SELECT p.day, p.series_id, p.days ->> (p.slot - p.first_slot + 1)
    FROM (
        SELECT c.day, m.series_id, m.days, c.day - m.month AS slot, m.days ->> 0 AS first_slot
        FROM tally_request_calendar AS c
        JOIN tally_request_months AS m
            ON m.month = unixepoch(date(c.day * 86400, 'unixepoch', 'start of month')) / 86400
        WHERE c.pruned_at IS NOT NULL
    ) AS p
    WHERE p.slot >= p.first_slot AND p.days ->> (p.slot - p.first_slot + 1) > 0
    UNION ALL
    SELECT iif(requested_at >= 0, requested_at, requested_at - 86399999999) / 86400000000,
           series_id,
           coalesce(requests, 1)
    FROM tally_requests
) AS t
LEFT JOIN tally_request_moves AS m ON m.from_id = t.series_id
LEFT JOIN tally_request_series AS s ON s.id = coalesce(m.to_id, t.series_id)
LEFT JOIN tally_namespaces AS n ON n.id = coalesce(s.namespace_id, 0)
GROUP BY t.day, n.name, s.service, s.method, s.path, s.status, s.customer;

-- Rules about counts, that webhooks are told of. The definition is JSON. A rule that fires has a time since
-- when, and one when that was told last. Whatever changes how it stands moves the number of its events by
-- one. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_request_rules (
    id BLOB PRIMARY KEY,
    namespace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    webhook TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    firing_since INTEGER,
    told_at INTEGER,
    events INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace_id, name)
) STRICT, WITHOUT ROWID;

-- What rows refer to: everything that requests are told apart by. Stored once, in the transaction of
-- the first rows that need it. The id is a hash of all the rest, so that it never means anything else.
-- The texts are ordered by their bytes. An entry of the unique index holds at
-- most 2,704 bytes, which bounds the texts together.
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

-- Rows: requests of a series at a time; requests is NULL for one, which then costs no space. They lie
-- in trays, which take them by turns: while one is filled, the others are folded into days and emptied.
-- They have no key, no foreign key and no index, because each of them would make inserts several times
-- slower, and nothing to vacuum, because they are emptied by TRUNCATE.
CREATE TABLE tally_requests_0 (
    series_id BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    requests BIGINT
) WITH (autovacuum_enabled = false);
CREATE TABLE tally_requests_1 (LIKE tally_requests_0) WITH (autovacuum_enabled = false);
CREATE TABLE tally_requests_2 (LIKE tally_requests_0) WITH (autovacuum_enabled = false);
CREATE TABLE tally_requests_3 (LIKE tally_requests_0) WITH (autovacuum_enabled = false);

-- The tray of imports, whose transactions take long. Its rows are deleted.
CREATE TABLE tally_requests_imported (LIKE tally_requests_0);

-- What each tray's rows are worth. 'open': it takes rows, and they count. 'closed': it takes no more, and
-- is being folded; they count. 'folded': they are in the days, and count there. No snapshot protects from
-- TRUNCATE, so a folded tray is emptied, and opened, when nobody has a snapshot that is older than this
-- mark. 'imports': it takes the rows of imports, and they count.
CREATE TABLE tally_request_trays (
    tray TEXT PRIMARY KEY,
    state TEXT NOT NULL
);

INSERT INTO tally_request_trays (tray, state)
SELECT 'tally_requests_' || n, 'open' FROM generate_series(0, 3) AS n
UNION ALL SELECT 'tally_requests_imported', 'imports';

-- The rows that are not folded. Of a folded tray nothing is read.
CREATE VIEW tally_requests AS
SELECT series_id, requested_at, requests FROM tally_requests_0
WHERE (SELECT state FROM tally_request_trays WHERE tray = 'tally_requests_0') <> 'folded'
UNION ALL
SELECT series_id, requested_at, requests FROM tally_requests_1
WHERE (SELECT state FROM tally_request_trays WHERE tray = 'tally_requests_1') <> 'folded'
UNION ALL
SELECT series_id, requested_at, requests FROM tally_requests_2
WHERE (SELECT state FROM tally_request_trays WHERE tray = 'tally_requests_2') <> 'folded'
UNION ALL
SELECT series_id, requested_at, requests FROM tally_requests_3
WHERE (SELECT state FROM tally_request_trays WHERE tray = 'tally_requests_3') <> 'folded'
UNION ALL
SELECT series_id, requested_at, requests FROM tally_requests_imported;

-- Who may still count the rows of a folded tray: whose snapshot is so old that it does not see the mark,
-- which is a transaction's number in the column xmin. Slots and processes without a database are standbys
-- that tell what their queries need.
CREATE VIEW tally_request_readers AS
SELECT t.tray, r.reader
FROM tally_request_trays AS t
JOIN (
    SELECT 'process ' || pid AS reader, backend_xmin AS oldest
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (datid IS NULL OR datname = current_database())
    UNION ALL
    SELECT 'replication slot ' || slot_name, xmin FROM pg_replication_slots
) AS r ON age(r.oldest) >= age(t.xmin)
WHERE t.state = 'folded' AND age(t.xmin) > 0;

-- How many requests a series had on one UTC day, as far as its rows are folded, and in which quarters
-- of the day: a JSON array of the first quarter's index, from 0, and the counts from it on. Pages keep
-- room, because every fold updates the rows of today.
CREATE TABLE tally_request_days (
    day DATE NOT NULL,
    series_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    quarters TEXT NOT NULL,
    PRIMARY KEY (day, series_id)
) WITH (fillfactor = 70);

-- How many requests a series had in a month, which is named by its first day, as far as the days are
-- rolled up; and on which days, in the same form as the quarters of a day.
CREATE TABLE tally_request_months (
    month DATE NOT NULL,
    series_id BIGINT NOT NULL,
    total BIGINT NOT NULL,
    days TEXT NOT NULL,
    PRIMARY KEY (month, series_id)
) WITH (fillfactor = 70);

-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there. The
-- stamp is a random number, drawn anew by each transaction that changes rows of tally_request_days: with
-- the same one, a day that is not pruned has the same rows.
CREATE TABLE tally_request_calendar (
    day DATE PRIMARY KEY,
    rolled_up_at TIMESTAMPTZ,
    pruned_at TIMESTAMPTZ,
    stamp UUID NOT NULL DEFAULT gen_random_uuid()
);

-- For the days that still have to be rolled up, and those whose quarters are gone.
CREATE INDEX tally_request_calendar_open ON tally_request_calendar (day) WHERE rolled_up_at IS NULL;
CREATE INDEX tally_request_calendar_pruned ON tally_request_calendar (day) WHERE pruned_at IS NOT NULL;

-- How many requests of one of its days and methods were imported from a Go server of count.v1. The
-- transaction that imports them writes this, so that none is imported twice.
CREATE TABLE tally_request_imports (
    namespace_id BIGINT NOT NULL,
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day DATE NOT NULL,
    method BIGINT NOT NULL,
    imported BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, source, day, method)
);

-- Merges and forgets, in their order: who, when, and how many requests of how many series they were about
-- at that time. They say as well what becomes of series that come later: what a series must have (its
-- service, path and customer: NULL if anything will do), and what it gets instead. Of a forget nothing
-- but a keyed hash is stored. Until it is settled, days and months may have totals of series that have
-- moved.
CREATE TABLE tally_request_changes (
    seq BIGINT PRIMARY KEY,
    token BIGINT NOT NULL,
    namespace_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    selected TEXT NOT NULL,
    author TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    series BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    service TEXT,
    path TEXT,
    customer TEXT,
    into_service TEXT,
    into_path TEXT,
    into_customer TEXT,
    hash_key TEXT,
    settled_at TIMESTAMPTZ
);

-- Series that have moved: what still comes under the one id counts under the other. No to_id is a from_id.
CREATE TABLE tally_request_moves (
    from_id BIGINT PRIMARY KEY,
    to_id BIGINT NOT NULL,
    change_seq BIGINT NOT NULL
);

CREATE INDEX tally_request_moves_to ON tally_request_moves (to_id);
CREATE INDEX tally_request_moves_change ON tally_request_moves (change_seq);

-- What people add to the total of a day and a series, or take from it, and why. No total has it in it.
CREATE TABLE tally_request_corrections (
    id UUID NOT NULL,
    namespace_id BIGINT NOT NULL,
    day DATE NOT NULL,
    series_id BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    corrected_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (id, namespace_id)
);

CREATE INDEX tally_request_corrections_day ON tally_request_corrections (day, series_id);
CREATE INDEX tally_request_corrections_series ON tally_request_corrections (series_id);

-- The live totals of all days, for people and other programs. A condition on the day reaches the keys.
CREATE VIEW tally_totals_by_day AS
SELECT t.day,
       coalesce(n.name, '_unknown') AS namespace,
       coalesce(s.service, '') AS service,
       coalesce(s.method, '') AS method,
       coalesce(s.path, '_unknown') AS path,
       coalesce(s.status, 0) AS status,
       coalesce(s.customer, '') AS customer,
       sum(t.total)::BIGINT AS total
FROM (
    SELECT d.day, d.series_id, d.total
    FROM tally_request_calendar AS c
    JOIN tally_request_days AS d ON d.day = c.day
    WHERE c.pruned_at IS NULL
    UNION ALL
    -- Of a pruned day only its month knows: the number behind the first slot's.
    SELECT p.day, p.series_id, (p.days ->> (p.slot - p.first_slot + 1))::BIGINT
    FROM (
        SELECT c.day, m.series_id, m.days::JSON AS days,
               extract(DAY FROM c.day)::INT - 1 AS slot,
               (m.days::JSON ->> 0)::INT AS first_slot
        FROM tally_request_calendar AS c
        JOIN tally_request_months AS m ON m.month = date_trunc('month', c.day::TIMESTAMP)::DATE
        WHERE c.pruned_at IS NOT NULL
    ) AS p
    WHERE p.slot >= p.first_slot AND (p.days ->> (p.slot - p.first_slot + 1))::BIGINT > 0
    UNION ALL
    SELECT (requested_at AT TIME ZONE 'UTC')::DATE, series_id, coalesce(requests, 1)
    FROM tally_requests
) AS t
LEFT JOIN tally_request_moves AS m ON m.from_id = t.series_id
LEFT JOIN tally_request_series AS s ON s.id = coalesce(m.to_id, t.series_id)
LEFT JOIN tally_namespaces AS n ON n.id = coalesce(s.namespace_id, 0)
GROUP BY t.day, n.name, s.service, s.method, s.path, s.status, s.customer;

-- Rules about counts, that webhooks are told of. The definition is JSON. A rule that fires has a time since
-- when, and one when that was told last. Whatever changes how it stands moves the number of its events by
-- one.
CREATE TABLE tally_request_rules (
    id UUID PRIMARY KEY,
    namespace_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    webhook TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    firing_since TIMESTAMPTZ,
    told_at TIMESTAMPTZ,
    events BIGINT NOT NULL DEFAULT 0,
    UNIQUE (namespace_id, name)
);

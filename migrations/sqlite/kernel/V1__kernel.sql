-- Books kept apart in one database.
CREATE TABLE tally_namespaces (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

INSERT INTO tally_namespaces (id, name) VALUES (0, 'default');

-- Who stores batches for a domain, and the number of the last batch that each has stored. A batch
-- moves its producer's number in its own transaction, so that it is never stored twice. The epoch is
-- a random number, drawn when a client's producer changes hands, and 0 for an insert worker of the
-- server; the claim is the number of the process that opened it last. A shared producer is taken over
-- by all who know its id. The checkpoint says how far its client has come in what it reads, by a rule
-- of the client's; it moves with the number. The same id is another producer in another namespace, so that
-- nobody learns which ids others have. last_seen and checkpoint_at count microseconds since 1970-01-01 UTC.
CREATE TABLE tally_producers (
    id BLOB NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT '',
    epoch INTEGER NOT NULL DEFAULT 0,
    claim INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    last_seen INTEGER NOT NULL,
    is_shared INTEGER NOT NULL DEFAULT 0,
    checkpoint BLOB,
    checkpoint_at INTEGER,
    PRIMARY KEY (id, namespace_id)
) STRICT, WITHOUT ROWID;

-- How much of each day was accepted from all producers, and how much they said to have dropped, by the
-- insert worker that stored it, so that workers do not wait for each other. The days of forgotten
-- workers, and those of batches of many days, are added up under the nil UUID. day counts days since
-- 1970-01-01.
CREATE TABLE tally_producer_days (
    worker_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    PRIMARY KEY (worker_id, day, domain, namespace_id)
) STRICT, WITHOUT ROWID;

-- For what is missing from a range of days: most rows are not in it.
CREATE INDEX tally_producer_days_dropped ON tally_producer_days (domain, namespace_id, day) WHERE dropped > 0;

-- The days of batches that have many, until they are added up under the nil UUID. It has no key but
-- SQLite's own, because the days would be all over it.
CREATE TABLE tally_producer_batches (
    domain TEXT NOT NULL,
    namespace_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    dropped INTEGER NOT NULL
) STRICT;

-- Batches that were acknowledged and are missing, because the database went back to an earlier state.
-- One row for each producer that noticed; a domain's further ones share the row of the nil UUID.
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_producer_setbacks (
    domain TEXT NOT NULL,
    namespace_id INTEGER NOT NULL,
    producer_id BLOB NOT NULL,
    name TEXT NOT NULL,
    noticed_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    producers INTEGER NOT NULL,
    batches INTEGER NOT NULL,
    PRIMARY KEY (domain, namespace_id, producer_id)
) STRICT, WITHOUT ROWID;

-- Since when something is looked at without a gap, by whichever server, and when it was last. Before that,
-- clients may have had no server to send to. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_watches (
    name TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- Events for other programs, each written by the transaction that decides it. The subject is what it
-- happened to, and its events are numbered; the receiver is the beginning of the URL. An event that has no
-- due_at is done: it is delivered, or it was given up. The answer says what became of the last attempt.
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_outbox (
    id BLOB PRIMARY KEY,
    domain TEXT NOT NULL,
    subject BLOB NOT NULL,
    number INTEGER NOT NULL,
    receiver TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    done_at INTEGER,
    is_delivered INTEGER NOT NULL DEFAULT 0,
    answer TEXT NOT NULL DEFAULT '',
    UNIQUE (domain, subject, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX tally_outbox_due ON tally_outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tally_outbox_done ON tally_outbox (done_at) WHERE done_at IS NOT NULL;

-- Requests that one domain has another one count, each written by the transaction that decides it. A batch of them is
-- taken, counted under its number, and removed; batch is 0 for those that no batch has yet.
-- requested_at counts microseconds since 1970-01-01 UTC.
CREATE TABLE tally_outbox_counts (
    batch INTEGER NOT NULL,
    id BLOB NOT NULL,
    namespace_id INTEGER NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    PRIMARY KEY (batch, id)
) STRICT, WITHOUT ROWID;

-- Who numbers these batches, among the producers, and the number of the last one. One row.
CREATE TABLE tally_outbox_counter (
    id INTEGER PRIMARY KEY NOT NULL,
    producer_id BLOB NOT NULL,
    sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was stored once for an idempotency key: a fingerprint of what its caller meant, in the transaction
-- that stored it. stored_at counts microseconds since 1970-01-01 UTC.
CREATE TABLE tally_idempotency_keys (
    domain TEXT NOT NULL,
    namespace_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    stored_at INTEGER NOT NULL,
    PRIMARY KEY (domain, namespace_id, key)
) STRICT, WITHOUT ROWID;

-- For those that are old enough to be deleted.
CREATE INDEX tally_idempotency_keys_stored ON tally_idempotency_keys (domain, stored_at);

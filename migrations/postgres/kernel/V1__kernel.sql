-- Books kept apart in one database.
CREATE TABLE tally_namespaces (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

INSERT INTO tally_namespaces (id, name) VALUES (0, 'default');

-- Who stores batches for a domain, and the number of the last batch that each has stored. A batch
-- moves its producer's number in its own transaction, so that it is never stored twice. The epoch is
-- a random number, drawn when a client's producer changes hands, and 0 for an insert worker of a
-- server; the claim is the number of the process that opened it last. A shared producer is taken over
-- by all who know its id. The checkpoint says how far its client has come in what it reads, by a rule
-- of the client's; it moves with the number. The same id is another producer in another namespace, so that
-- nobody learns which ids others have.
CREATE TABLE tally_producers (
    id UUID NOT NULL,
    domain TEXT NOT NULL,
    namespace_id BIGINT NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT '',
    epoch BIGINT NOT NULL DEFAULT 0,
    claim BIGINT NOT NULL DEFAULT 0,
    sequence BIGINT NOT NULL,
    accepted BIGINT NOT NULL DEFAULT 0,
    dropped BIGINT NOT NULL DEFAULT 0,
    last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
    is_shared BOOLEAN NOT NULL DEFAULT FALSE,
    checkpoint BYTEA,
    checkpoint_at TIMESTAMPTZ,
    PRIMARY KEY (id, namespace_id)
);

-- How much of each day was accepted from all producers, and how much they said to have dropped, by the
-- insert worker that stored it, so that workers do not wait for each other. The days of forgotten
-- workers, and those of batches of many days, are added up under the nil UUID.
CREATE TABLE tally_producer_days (
    worker_id UUID NOT NULL,
    day DATE NOT NULL,
    domain TEXT NOT NULL,
    namespace_id BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    PRIMARY KEY (worker_id, day, domain, namespace_id)
);

-- For what is missing from a range of days: most rows are not in it.
CREATE INDEX tally_producer_days_dropped ON tally_producer_days (domain, namespace_id, day) WHERE dropped > 0;

-- The days of batches that have many, until they are added up under the nil UUID: one row for each
-- batch and namespace, because a row for each of its days would cost more than its requests. Not compressed, which
-- would take longer than writing.
CREATE TABLE tally_producer_batches (
    worker_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    domain TEXT NOT NULL,
    namespace_id BIGINT NOT NULL,
    days INT[] NOT NULL,
    accepted BIGINT[] NOT NULL,
    dropped BIGINT[] NOT NULL,
    PRIMARY KEY (worker_id, sequence, namespace_id)
);

ALTER TABLE tally_producer_batches
    ALTER days SET STORAGE EXTERNAL,
    ALTER accepted SET STORAGE EXTERNAL,
    ALTER dropped SET STORAGE EXTERNAL;

-- Batches that were acknowledged and are missing, because the database went back to an earlier state.
-- One row for each producer that noticed; a domain's further ones share the row of the nil UUID.
CREATE TABLE tally_producer_setbacks (
    domain TEXT NOT NULL,
    namespace_id BIGINT NOT NULL,
    producer_id UUID NOT NULL,
    name TEXT NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    producers BIGINT NOT NULL,
    batches BIGINT NOT NULL,
    PRIMARY KEY (domain, namespace_id, producer_id)
);

-- What was stored once for an idempotency key: a fingerprint of what its caller meant, in the transaction
-- that stored it.
CREATE TABLE tally_idempotency_keys (
    domain TEXT NOT NULL,
    namespace_id BIGINT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    stored_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, namespace_id, key)
);

-- For those that are old enough to be deleted.
CREATE INDEX tally_idempotency_keys_stored ON tally_idempotency_keys (domain, stored_at);

-- Which server does the work that one does for all, until when by the database's clock, and for each
-- domain. The holder is an id that a server draws at its start.
CREATE TABLE tally_leases (
    name TEXT PRIMARY KEY,
    holder UUID NOT NULL,
    until TIMESTAMPTZ NOT NULL
);

-- Since when something is looked at without a gap, by whichever server, and when it was last. Before that,
-- clients may have had no server to send to.
CREATE TABLE tally_watches (
    name TEXT PRIMARY KEY,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL
);

-- Events for other programs, each written by the transaction that decides it. The subject is what it
-- happened to, and its events are numbered; the receiver is the beginning of the URL. An event that has no
-- due_at is done: it is delivered, or it was given up. The answer says what became of the last attempt.
CREATE TABLE tally_outbox (
    id UUID PRIMARY KEY,
    domain TEXT NOT NULL,
    subject UUID NOT NULL,
    number BIGINT NOT NULL,
    receiver TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ,
    attempts BIGINT NOT NULL DEFAULT 0,
    done_at TIMESTAMPTZ,
    is_delivered BOOLEAN NOT NULL DEFAULT FALSE,
    answer TEXT NOT NULL DEFAULT '',
    UNIQUE (domain, subject, number)
);

CREATE INDEX tally_outbox_due ON tally_outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tally_outbox_done ON tally_outbox (done_at) WHERE done_at IS NOT NULL;

-- Requests that one domain has another one count, each written by the transaction that decides it. A batch of them is
-- taken, counted under its number, and removed; batch is 0 for those that no batch has yet.
CREATE TABLE tally_outbox_counts (
    batch BIGINT NOT NULL,
    id UUID NOT NULL,
    namespace_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status BIGINT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (batch, id)
);

-- Who numbers these batches, among the producers, and the number of the last one. One row.
CREATE TABLE tally_outbox_counter (
    id BIGINT PRIMARY KEY,
    producer_id UUID NOT NULL,
    sequence BIGINT NOT NULL
);

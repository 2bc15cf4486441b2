-- How many debts each namespace has, and the number of its last one.
CREATE TABLE tally_debt_namespaces (
    namespace_id BIGINT PRIMARY KEY,
    last_number BIGINT NOT NULL,
    debts BIGINT NOT NULL,
    badge_secret UUID NOT NULL
);

-- Debts: what is agreed, in JSON, and where each stands. status is 0 new, 1 up, 2 down, 3 paused. What a ping
-- URL names is ping_id: whoever knows it can pay. settled_at is the moment up to which everything that was due
-- is settled or has been a failure; due_at is what is due next; overdue_at is when the next thing is overdue if
-- nothing comes before. payments, runs and flips are the numbers of the last ones. Pages have room for another
-- version of some rows, which replaces the one before without a change of any index.
CREATE TABLE tally_debts (
    id UUID PRIMARY KEY,
    namespace_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    slug TEXT NOT NULL,
    ping_id UUID NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    status BIGINT NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    settled_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ,
    overdue_at TIMESTAMPTZ,
    failures BIGINT NOT NULL,
    successes BIGINT NOT NULL,
    paid_at TIMESTAMPTZ,
    rate_period_at TIMESTAMPTZ,
    rate_payments BIGINT NOT NULL,
    payments BIGINT NOT NULL,
    runs BIGINT NOT NULL,
    open_runs BIGINT NOT NULL,
    flips BIGINT NOT NULL,
    UNIQUE (namespace_id, number),
    UNIQUE (namespace_id, slug)
) WITH (fillfactor = 85);

-- For pages of debts, and for how many stand how.
CREATE INDEX tally_debts_status ON tally_debts (namespace_id, status, slug);

-- When each debt is overdue if nothing comes before, and from when on it is late, if it is: as its own row says too.
-- Sweeps read it in this order: their cost is that of what is overdue, and many are due at the same moment. It is no
-- index of tally_debts: a payment changes no column there that an index has, so that Postgres writes none of them
-- anew.
CREATE TABLE tally_debt_deadlines (
    overdue_at TIMESTAMPTZ NOT NULL,
    debt_id UUID NOT NULL,
    namespace_id BIGINT NOT NULL,
    late_at TIMESTAMPTZ,
    PRIMARY KEY (overdue_at, debt_id)
);

-- For pages of late debts.
CREATE INDEX tally_debt_deadlines_late ON tally_debt_deadlines (namespace_id, late_at);

-- Payments. once and run_once tell what comes again: a hash of the idempotency key, or a random number; and a
-- hash of the run and of what is said of it. fingerprint is a hash of what was said under a key. kind is 0 start, 1 stage, 2 heartbeat,
-- 3 success, 4 fail, 5 log; flags are 1 early, 2 over the rate, 4 too short, 8 moot. took counts microseconds.
CREATE TABLE tally_debt_payments (
    debt_id UUID NOT NULL,
    number BIGINT NOT NULL,
    once UUID NOT NULL,
    run_once UUID,
    fingerprint BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    run TEXT,
    stage TEXT NOT NULL,
    exit_status BIGINT,
    received_at TIMESTAMPTZ NOT NULL,
    said_at TIMESTAMPTZ,
    took BIGINT,
    slot_at TIMESTAMPTZ,
    flags BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    source TEXT NOT NULL,
    body BYTEA NOT NULL,
    body_bytes BIGINT NOT NULL,
    PRIMARY KEY (debt_id, number),
    UNIQUE (debt_id, once)
);

-- Most payments are of no run.
CREATE UNIQUE INDEX tally_debt_payments_run_once ON tally_debt_payments (debt_id, run_once) WHERE run_once IS NOT NULL;

-- Payments that are old enough to be deleted.
CREATE INDEX tally_debt_payments_received ON tally_debt_payments (received_at);

-- Runs. outcome is 0 open, 1 succeeded, 2 failed, 3 timed out, 4 abandoned; stages are those that have come, in
-- JSON.
CREATE TABLE tally_debt_runs (
    debt_id UUID NOT NULL,
    number BIGINT NOT NULL,
    run TEXT,
    started_at TIMESTAMPTZ,
    heard_at TIMESTAMPTZ NOT NULL,
    stages TEXT NOT NULL,
    overdue_at TIMESTAMPTZ,
    outcome BIGINT NOT NULL,
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (debt_id, number)
);

-- A run by its id; of the same id, the last one counts.
CREATE INDEX tally_debt_runs_run ON tally_debt_runs (debt_id, run, number) WHERE run IS NOT NULL;
CREATE INDEX tally_debt_runs_open ON tally_debt_runs (debt_id) WHERE outcome = 0;

-- Runs that ended long ago.
CREATE INDEX tally_debt_runs_heard ON tally_debt_runs (heard_at) WHERE outcome <> 0;

-- Alarms and recoveries, in turns: alarms have odd numbers. at is the exact moment, noticed_at when a server
-- wrote it.
CREATE TABLE tally_debt_flips (
    debt_id UUID NOT NULL,
    number BIGINT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (debt_id, number)
);

-- Times during which no server looked at debts. They are no silence of those who pay.
CREATE TABLE tally_debt_gaps (
    from_at TIMESTAMPTZ PRIMARY KEY,
    until_at TIMESTAMPTZ NOT NULL
);

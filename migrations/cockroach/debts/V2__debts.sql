-- Debts: what is agreed, in JSON, and where each stands. status is 0 new, 1 up, 2 down, 3 paused. What a ping
-- URL names is ping_id: whoever knows it can pay. settled_at is the moment up to which everything that was due
-- is settled or has been a failure; due_at is what is due next; overdue_at is when the next thing is overdue if
-- nothing comes before. payments, runs and flips are the numbers of the last ones.
CREATE TABLE IF NOT EXISTS tally_debts (
    id UUID NOT NULL PRIMARY KEY,
    namespace_id INT8 NOT NULL,
    number INT8 NOT NULL,
    slug TEXT NOT NULL,
    ping_id UUID NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    status INT8 NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    settled_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ,
    overdue_at TIMESTAMPTZ,
    failures INT8 NOT NULL,
    successes INT8 NOT NULL,
    paid_at TIMESTAMPTZ,
    rate_period_at TIMESTAMPTZ,
    rate_payments INT8 NOT NULL,
    payments INT8 NOT NULL,
    runs INT8 NOT NULL,
    open_runs INT8 NOT NULL,
    flips INT8 NOT NULL,
    UNIQUE (namespace_id, number),
    UNIQUE (namespace_id, slug)
)

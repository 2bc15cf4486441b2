-- Payments. once and run_once tell what comes again: a hash of the idempotency key, or a random number; and a
-- hash of the run and of what is said of it. fingerprint is a hash of what was said under a key. kind is 0 start, 1 stage, 2 heartbeat,
-- 3 success, 4 fail, 5 log; flags are 1 early, 2 over the rate, 4 too short, 8 moot. took counts microseconds.
CREATE TABLE IF NOT EXISTS tally_debt_payments (
    debt_id UUID NOT NULL,
    number INT8 NOT NULL,
    once UUID NOT NULL,
    run_once UUID,
    fingerprint INT8 NOT NULL,
    kind INT8 NOT NULL,
    run TEXT,
    stage TEXT NOT NULL,
    exit_status INT8,
    received_at TIMESTAMPTZ NOT NULL,
    said_at TIMESTAMPTZ,
    took INT8,
    slot_at TIMESTAMPTZ,
    flags INT8 NOT NULL,
    key_name TEXT NOT NULL,
    source TEXT NOT NULL,
    body BYTEA NOT NULL,
    body_bytes INT8 NOT NULL,
    PRIMARY KEY (debt_id, number),
    UNIQUE (debt_id, once)
)

-- Makes a debt, unless its namespace has one of its slug. The columns that change are lists, as when several
-- are written.
INSERT INTO tally_debts (
    id, namespace_id, number, slug, ping_id, definition, created_at, status, since, settled_at, due_at,
    overdue_at, failures, successes, paid_at, rate_period_at, rate_payments, payments, runs, open_runs, flips
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, ($8::BIGINT[])[1], ($9::TIMESTAMPTZ[])[1], ($10::TIMESTAMPTZ[])[1],
    ($11::TIMESTAMPTZ[])[1], ($12::TIMESTAMPTZ[])[1], ($13::BIGINT[])[1], ($14::BIGINT[])[1],
    ($15::TIMESTAMPTZ[])[1], ($16::TIMESTAMPTZ[])[1], ($17::BIGINT[])[1], ($18::BIGINT[])[1],
    ($19::BIGINT[])[1], ($20::BIGINT[])[1], ($21::BIGINT[])[1]
)
ON CONFLICT (namespace_id, slug) DO NOTHING

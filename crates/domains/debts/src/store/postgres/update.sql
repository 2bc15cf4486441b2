-- What has become of debts that this transaction has locked. Most keep their definitions.
UPDATE tally_debts AS d SET
    slug = u.slug, definition = coalesce(u.definition, d.definition), status = u.status, since = u.since, settled_at = u.settled_at,
    due_at = u.due_at, overdue_at = u.overdue_at, failures = u.failures, successes = u.successes,
    paid_at = u.paid_at, rate_period_at = u.rate_period_at, rate_payments = u.rate_payments,
    payments = u.payments, runs = u.runs, open_runs = u.open_runs, flips = u.flips
FROM unnest(
    $1::UUID[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::TIMESTAMPTZ[], $6::TIMESTAMPTZ[], $7::TIMESTAMPTZ[],
    $8::TIMESTAMPTZ[], $9::BIGINT[], $10::BIGINT[], $11::TIMESTAMPTZ[], $12::TIMESTAMPTZ[], $13::BIGINT[],
    $14::BIGINT[], $15::BIGINT[], $16::BIGINT[], $17::BIGINT[]
) AS u (
    id, slug, definition, status, since, settled_at, due_at, overdue_at, failures, successes, paid_at,
    rate_period_at, rate_payments, payments, runs, open_runs, flips
)
WHERE d.id = u.id

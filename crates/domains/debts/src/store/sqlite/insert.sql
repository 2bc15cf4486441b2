-- Makes a debt, unless its namespace has one of its slug.
INSERT INTO tally_debts (
    id, namespace_id, number, slug, ping_id, definition, created_at, status, since, settled_at, due_at,
    overdue_at, failures, successes, rate_payments, payments, runs, open_runs, flips
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, 0, 0, 0, 0, 0, 0)
ON CONFLICT (namespace_id, slug) DO NOTHING

-- What has become of a debt. Most keep their definitions.
UPDATE tally_debts SET
    slug = ?2, definition = coalesce(?3, definition), status = ?4, since = ?5, settled_at = ?6, due_at = ?7,
    overdue_at = ?8, failures = ?9, successes = ?10, paid_at = ?11, rate_period_at = ?12, rate_payments = ?13,
    payments = ?14, runs = ?15, open_runs = ?16, flips = ?17
WHERE id = ?1

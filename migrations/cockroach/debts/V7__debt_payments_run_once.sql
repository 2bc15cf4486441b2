-- Most payments are of no run.
CREATE UNIQUE INDEX IF NOT EXISTS tally_debt_payments_run_once ON tally_debt_payments (debt_id, run_once) WHERE run_once IS NOT NULL

-- The open ones.
CREATE INDEX IF NOT EXISTS tally_debt_runs_open ON tally_debt_runs (debt_id) WHERE outcome = 0

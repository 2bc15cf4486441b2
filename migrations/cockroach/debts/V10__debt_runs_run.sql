-- A run by its id; of the same id, the last one counts.
CREATE INDEX IF NOT EXISTS tally_debt_runs_run ON tally_debt_runs (debt_id, run, number) WHERE run IS NOT NULL

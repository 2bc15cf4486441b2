-- Runs that ended long ago. Led by a hash, so that the inserts of one moment go to several ranges.
CREATE INDEX IF NOT EXISTS tally_debt_runs_heard
ON tally_debt_runs (heard_at) USING HASH WITH (bucket_count = 8) WHERE outcome <> 0

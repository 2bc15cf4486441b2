-- For pages of late debts. Led by a hash, so that those of one moment go to several ranges.
CREATE INDEX IF NOT EXISTS tally_debt_deadlines_late
ON tally_debt_deadlines (namespace_id, late_at) USING HASH WITH (bucket_count = 8)

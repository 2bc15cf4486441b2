-- For pages of debts, and for how many stand how.
CREATE INDEX IF NOT EXISTS tally_debts_status ON tally_debts (namespace_id, status, slug)

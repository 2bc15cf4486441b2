-- For sweeps: their cost is that of what is overdue.
CREATE INDEX IF NOT EXISTS tally_debts_overdue ON tally_debts (overdue_at) WHERE overdue_at IS NOT NULL

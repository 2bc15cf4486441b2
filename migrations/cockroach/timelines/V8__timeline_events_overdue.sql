-- For sweeps: their cost is that of what is overdue.
CREATE INDEX IF NOT EXISTS tally_timeline_events_overdue ON tally_timeline_events (overdue_at) WHERE overdue_at IS NOT NULL

-- For what is due.
CREATE INDEX IF NOT EXISTS tally_outbox_due ON tally_outbox (due_at) WHERE due_at IS NOT NULL

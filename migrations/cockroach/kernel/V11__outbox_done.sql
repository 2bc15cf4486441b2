-- For what is old.
CREATE INDEX IF NOT EXISTS tally_outbox_done ON tally_outbox (done_at) WHERE done_at IS NOT NULL

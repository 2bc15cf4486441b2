-- Timelines that are to be deleted.
CREATE INDEX IF NOT EXISTS tally_timelines_expires ON tally_timelines (expires_at) WHERE expires_at IS NOT NULL

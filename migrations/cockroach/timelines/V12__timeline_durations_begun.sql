-- Durations that are old enough to be deleted.
CREATE INDEX IF NOT EXISTS tally_timeline_durations_begun ON tally_timeline_durations (begun_at)

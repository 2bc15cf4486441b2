-- For the days whose quarters are gone.
CREATE INDEX IF NOT EXISTS tally_request_calendar_pruned ON tally_request_calendar (day)
WHERE pruned_at IS NOT NULL

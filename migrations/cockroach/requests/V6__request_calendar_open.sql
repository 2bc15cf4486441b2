-- For the days that still have to be rolled up.
CREATE INDEX IF NOT EXISTS tally_request_calendar_open ON tally_request_calendar (day)
WHERE rolled_up_at IS NULL

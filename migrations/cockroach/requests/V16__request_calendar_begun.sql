-- For the days that are being rolled up or emptied.
CREATE INDEX IF NOT EXISTS tally_request_calendar_begun ON tally_request_calendar (day)
WHERE reached IS NOT NULL

-- For the corrections of a range of days.
CREATE INDEX IF NOT EXISTS tally_request_corrections_day ON tally_request_corrections (day, series_id)

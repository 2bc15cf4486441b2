-- For the corrections of series that move.
CREATE INDEX IF NOT EXISTS tally_request_corrections_series ON tally_request_corrections (series_id)

-- For merges of a series that others have moved to.
CREATE INDEX IF NOT EXISTS tally_request_moves_to ON tally_request_moves (to_id)

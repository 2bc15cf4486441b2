-- For the moves of a change that is not settled.
CREATE INDEX IF NOT EXISTS tally_request_moves_change ON tally_request_moves (change_seq)

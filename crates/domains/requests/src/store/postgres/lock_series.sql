-- Waits for the batches that bring names, and holds up those that come later: what they bring is looked
-- at before they commit, or by the time this transaction has.
LOCK TABLE tally_request_series IN SHARE ROW EXCLUSIVE MODE

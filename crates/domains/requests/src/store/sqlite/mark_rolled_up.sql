-- In the transaction that adds this day to its month.
UPDATE tally_request_calendar
SET rolled_up_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE day = ?1

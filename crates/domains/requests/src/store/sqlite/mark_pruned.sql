-- In the transaction that deletes the rows of this day.
UPDATE tally_request_calendar
SET pruned_at = coalesce(pruned_at, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
WHERE day = ?1

-- Pruned days that may still have rows: an index has only days that are under way. Locked, so that another
-- server's step waits here.
SELECT (day - DATE '1970-01-01')::INT4 FROM tally_request_calendar
WHERE reached IS NOT NULL AND pruned_at IS NOT NULL
ORDER BY day
LIMIT $1::INT8
FOR UPDATE

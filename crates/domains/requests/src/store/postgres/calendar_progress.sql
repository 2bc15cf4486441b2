-- The first day that is not rolled up, and when one was last rolled up. There is a row for each day, so this
-- reads all of them once a minute.
SELECT (min(day) FILTER (WHERE rolled_up_at IS NULL) - DATE '1970-01-01')::INT4, max(rolled_up_at)
FROM tally_request_calendar

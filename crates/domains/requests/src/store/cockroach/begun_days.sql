-- Days of which a roll-up has some series left, and the last one that is in the month: an index has only
-- days that are under way, so there are few.
SELECT day, reached FROM tally_request_calendar
WHERE reached IS NOT NULL AND pruned_at IS NULL AND day BETWEEN $1::DATE AND $2::DATE

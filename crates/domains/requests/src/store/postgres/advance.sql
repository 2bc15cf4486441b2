-- How far the calendar has come: when a day was rolled up last, the last one that is, how many of those
-- up to $1 are not, and the first one that is not. It has one row for each day.
SELECT max(rolled_up_at),
       (max(day) FILTER (WHERE rolled_up_at IS NOT NULL) - DATE '1970-01-01')::INT4,
       count(*) FILTER (WHERE rolled_up_at IS NULL AND day <= DATE '1970-01-01' + $1::INT4),
       (min(day) FILTER (WHERE rolled_up_at IS NULL) - DATE '1970-01-01')::INT4
FROM tally_request_calendar

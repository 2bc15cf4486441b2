-- The last day that has totals, or on which one was rolled up by the database's clock.
SELECT (greatest(max(day), (max(rolled_up_at) AT TIME ZONE 'UTC')::DATE) - DATE '1970-01-01')::INT4
FROM tally_request_calendar

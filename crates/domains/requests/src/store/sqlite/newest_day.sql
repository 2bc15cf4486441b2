-- The last day that has totals, or on which one was rolled up.
SELECT max(day) FROM (
    SELECT max(day) AS day FROM tally_request_calendar
    UNION ALL
    SELECT max(rolled_up_at) / 86400000000 FROM tally_request_calendar
)

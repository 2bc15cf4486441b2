-- The calendar has a row for each day that has totals.
SELECT DISTINCT CAST(unixepoch(date(day * 86400, 'unixepoch', 'start of month')) / 86400 AS INTEGER)
FROM tally_request_calendar

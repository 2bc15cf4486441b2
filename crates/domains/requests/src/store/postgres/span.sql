-- The two ends of the primary key within the range.
SELECT min(day), max(day) FROM tally_request_calendar WHERE day BETWEEN $1::DATE AND $2::DATE

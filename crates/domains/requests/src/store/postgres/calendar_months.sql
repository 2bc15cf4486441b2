-- The calendar has a row for each day that has totals.
SELECT DISTINCT (date_trunc('month', day::TIMESTAMP)::DATE - DATE '1970-01-01')::INT4 FROM tally_request_calendar

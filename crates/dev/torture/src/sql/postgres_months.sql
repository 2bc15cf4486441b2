-- The rolled-up totals of months.
SELECT (month - DATE '1970-01-01')::bigint, series_id, total, days FROM tally_request_months

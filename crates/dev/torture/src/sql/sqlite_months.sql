-- The rolled-up totals of months.
SELECT month, series_id, total, days FROM tally_request_months

-- The folded totals of days.
SELECT (day - DATE '1970-01-01')::bigint, series_id, total, quarters FROM tally_request_days

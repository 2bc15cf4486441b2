-- The folded totals of days.
SELECT day, series_id, total, quarters FROM tally_request_days

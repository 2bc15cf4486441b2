-- The caller has read what was there, and the books are locked, so nothing else changes months meanwhile.
INSERT INTO tally_request_months (month, series_id, total, days)
SELECT DATE '1970-01-01' + w.month, w.series_id, w.total, w.days
FROM unnest($1::INT4[], $2::INT8[], $3::INT8[], $4::TEXT[]) AS w (month, series_id, total, days)
ON CONFLICT (month, series_id) DO UPDATE SET total = excluded.total, days = excluded.days

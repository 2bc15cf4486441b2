-- The caller has read what was there.
INSERT INTO tally_request_months (month, series_id, total, days) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (month, series_id) DO UPDATE SET total = excluded.total, days = excluded.days

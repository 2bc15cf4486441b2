-- The caller has read what was there.
INSERT INTO tally_request_days (day, series_id, total, quarters) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (day, series_id) DO UPDATE SET total = excluded.total, quarters = excluded.quarters

-- Totals grow by addition, so it does not matter how often a day is rolled up.
INSERT INTO tally_request_days (day, series_id, total) VALUES (?1, ?2, ?3)
ON CONFLICT (day, series_id) DO UPDATE SET total = total + excluded.total

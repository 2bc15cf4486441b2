-- Totals grow by addition, so it does not matter how often a day is rolled up.
INSERT INTO tally_daily_totals (day, endpoint_id, total) VALUES (?1, ?2, ?3)
ON CONFLICT (day, endpoint_id) DO UPDATE SET total = total + excluded.total

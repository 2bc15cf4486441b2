-- Totals grow by addition. In one order, so that it does not deadlock with a roll-up of the day.
INSERT INTO tally_request_days AS t (day, series_id, total)
SELECT DATE '1970-01-01' + w.day, w.series_id, w.total
FROM unnest($1::INT4[], $2::INT8[], $3::INT8[]) AS w (day, series_id, total)
ORDER BY 1, 2
ON CONFLICT (day, series_id) DO UPDATE SET total = t.total + excluded.total

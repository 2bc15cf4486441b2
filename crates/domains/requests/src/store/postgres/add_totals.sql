-- Totals grow by addition. In one order, so that it does not deadlock with a roll-up of the day.
INSERT INTO tally_daily_totals AS t (day, endpoint_id, total)
SELECT DATE '1970-01-01' + w.day, w.endpoint_id, w.total
FROM unnest($1::INT4[], $2::INT8[], $3::INT8[]) AS w (day, endpoint_id, total)
ORDER BY 1, 2
ON CONFLICT (day, endpoint_id) DO UPDATE SET total = t.total + excluded.total

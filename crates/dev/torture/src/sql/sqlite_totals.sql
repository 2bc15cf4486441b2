-- The rolled-up totals, with days as in the journals.
SELECT t.day, t.endpoint_id, e.method, e.path, t.total
FROM tally_daily_totals AS t LEFT JOIN tally_endpoints AS e ON e.id = t.endpoint_id;

-- The rolled-up totals, with days as in the journals.
SELECT (t.day - DATE '1970-01-01')::bigint, t.endpoint_id, e.method, e.path, t.total
FROM tally_daily_totals AS t LEFT JOIN tally_endpoints AS e ON e.id = t.endpoint_id;

-- What is rolled up, with days as they are counted in the journals.
SELECT (t.day - DATE '1970-01-01')::bigint, t.series_id, e.method, e.path, t.total
FROM tally_request_days AS t LEFT JOIN tally_request_series AS e ON e.id = t.series_id;

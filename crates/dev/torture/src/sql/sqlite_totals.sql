-- What is rolled up, with days as they are counted in the journals.
SELECT t.day, t.series_id, e.method, e.path, t.total
FROM tally_request_days AS t LEFT JOIN tally_request_series AS e ON e.id = t.series_id;

-- Every quarter of a day that is kept has requests.
INSERT INTO tally_request_days
SELECT c.day, s.id, 96 * (s.id % 90 + 10),
       '[0' || replace(hex(zeroblob(96)), '00', ',' || (s.id % 90 + 10)) || ']'
FROM tally_request_calendar AS c, tally_request_series AS s
WHERE c.pruned_at IS NULL
ORDER BY 1, 2

-- Every series has requests on every day.
INSERT INTO tally_request_months
SELECT c.day, s.id, 31 * (s.id % 900 + 100),
       '[0' || replace(hex(zeroblob(31)), '00', ',' || (s.id % 900 + 100)) || ']'
FROM tally_request_calendar AS c, tally_request_series AS s
WHERE strftime('%d', c.day * 86400, 'unixepoch') = '01'
ORDER BY 1, 2

-- A range scan of the primary key. A day has several stamps when several changed it at once.
SELECT (day - DATE '1970-01-01')::INT4, stamp
FROM tally_request_day_stamps
WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4

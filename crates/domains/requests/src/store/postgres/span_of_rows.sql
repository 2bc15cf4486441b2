-- A scan: rows have no index. Days, because not every time of the last one fits a timestamp of jiff.
SELECT (min(requested_at) AT TIME ZONE 'UTC')::DATE, (max(requested_at) AT TIME ZONE 'UTC')::DATE
FROM :rows AS r
WHERE requested_at >= $1::TIMESTAMPTZ AND requested_at < $2::TIMESTAMPTZ

-- The days within which each series has something: scans, which only a range needs that is too long otherwise. A
-- month counts as 31 days.
SELECT series_id, min(first_day), max(last_day)
FROM (
    SELECT series_id, min(month) AS first_day, max(month) + 30 AS last_day
    FROM tally_request_months GROUP BY series_id
    UNION ALL
    SELECT series_id, min(day), max(day) FROM tally_request_days GROUP BY series_id
    UNION ALL
    SELECT series_id, min(day), max(day) FROM tally_request_corrections GROUP BY series_id
    UNION ALL
    SELECT r.series_id,
           (min(r.requested_at) AT TIME ZONE 'UTC')::DATE, (max(r.requested_at) AT TIME ZONE 'UTC')::DATE
    FROM :rows AS r WHERE $1::BOOL GROUP BY r.series_id
) AS s
GROUP BY series_id
